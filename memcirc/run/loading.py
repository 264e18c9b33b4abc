"""The model of a run."""

from dataclasses import replace

from memcirc.models import Model, load_model
from memcirc.pretrained import load_quietly
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
