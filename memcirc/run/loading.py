"""The model of a run, and its twin."""

from dataclasses import replace
from pathlib import Path

from memcirc.engines import engine_module
from memcirc.models import Model, load_model
from memcirc.pretrained import load_config, load_quietly
from memcirc.run.config import RunConfig
from memcirc.twins import beside
from memcirc.work.progress import say


def run_model(config: RunConfig) -> Model:
    """Load the model that a configuration names, beside its twin where it names one, and say so; both keep the names
    that the configuration gives them."""
    load_quietly()
    model = _named(config, config.model.model_name)
    return beside(model, _named(config, config.model.twin_name)) if config.model.twin_name else model


def _named(config: RunConfig, name: str) -> Model:
    say(f"loading {name}")
    return replace(load_model(config.located(name), config.model.device, config.model.dtype), name=name)


def check_engines(config: RunConfig) -> None:
    """Raises ValueError, before any stage is begun, for an engine that does not compute the model. Of a model that is
    not at hand, or whose configuration cannot be read, its loading will tell."""
    where = config.located(config.model.model_name)
    if not where or not Path(where).exists():
        return
    try:
        found = load_config(where)
    except (FileNotFoundError, ValueError):
        return
    for name in {config.discover.engine: 0, config.verify.engine: 0}:
        engine_module(name).check(found)
