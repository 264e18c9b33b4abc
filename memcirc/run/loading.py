"""The model of a run."""

import logging
import sys
from dataclasses import replace

from transformers.utils.logging import disable_progress_bar

from memcirc.models import Model, load_model
from memcirc.run.config import RunConfig
from memcirc.run.stages import say


def run_model(config: RunConfig) -> Model:
    """Load the model that a configuration names, and say so; it keeps the name that the configuration gives it."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are not the user's to read
    settings = config.model
    say(f"loading {settings.model_name}")
    if not sys.stderr.isatty():
        disable_progress_bar()
    return replace(
        load_model(config.located(settings.model_name), settings.device, settings.dtype), name=settings.model_name
    )
