"""The model of a run, and its twin."""

from dataclasses import replace

from memcirc.models import Model, load_model
from memcirc.pretrained import load_quietly
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
