"""The model of a run."""

from dataclasses import replace
from pathlib import Path

from memcirc.engines import engine_module
from memcirc.models import Model, load_model
from memcirc.pretrained import load_config, load_quietly
from memcirc.run.config import RunConfig
from memcirc.work.progress import say


def run_model(config: RunConfig) -> Model:
    """Load the model that a configuration names, and say so; it keeps the name that the configuration gives it."""
    settings = config.model
    say(f"loading {settings.model_name}")
    load_quietly()
    return replace(
        load_model(config.located(settings.model_name), settings.device, settings.dtype), name=settings.model_name
    )


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
