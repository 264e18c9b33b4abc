"""The model of a run, and its twin."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from memcirc.attribution.settings import AttributionSettings
from memcirc.decoder.families import context_of
from memcirc.engines import engine_module
from memcirc.memorization.generation import does_not_fit
from memcirc.models import Model, load_model
from memcirc.options import build
from memcirc.pretrained import load_config, load_quietly
from memcirc.run.config import RunConfig
from memcirc.twins import beside
from memcirc.work.progress import say


def run_model(config: RunConfig) -> Model:
    """Load the model that a configuration names, beside its twin where it names one, and say so; both keep the names
    that the configuration gives them."""
    load_quietly()
    named = config.model
    model = _loaded(config, named.model_name, named.revision)
    return beside(model, _loaded(config, *config.twin)) if named.has_twin else model


def _loaded(config: RunConfig, name: str, revision: str) -> Model:
    say(f"loading {name}{f' at {revision}' if revision else ''}")
    settings = config.model
    loaded = load_model(config.located(name), settings.device, settings.dtype, revision=revision or None)
    return replace(loaded, name=name)


def check_methods(config: RunConfig) -> None:
    """Raises ValueError, before any stage is begun, for a method of attribution that is not defined for what a task's
    circuits are found under."""
    for task in config.model.tasks:
        try:
            build(AttributionSettings, asdict(config.of_task(task).discover))
        except ValueError as error:
            raise ValueError(f"task {task}: {error}") from None


def check_engines(config: RunConfig) -> None:
    """Raises ValueError, before any stage is begun, for an engine that does not compute the model."""
    found = _facts(config)
    if found is not None:
        for name in {config.discover.engine: 0, config.verify.engine: 0}:
            engine_module(name).check(found)


def check_windows(config: RunConfig) -> None:
    """Raises ValueError, before a corpus is cut, for windows that are longer than what the model reads."""
    facts = None if config.model.path else _facts(config)
    window, context = config.prepare.prompt_tokens + config.prepare.generation_tokens, facts and context_of(facts)
    if context is not None and window > context:
        raise ValueError(does_not_fit(window, config.model.model_name, context))


def _facts(config: RunConfig) -> Any | None:
    """The configuration of the model's network; None where it is not at hand or cannot be read: its loading tells."""
    where = config.located(config.model.model_name)
    if not where or not Path(where).exists():
        return None
    try:
        return load_config(where)
    except (FileNotFoundError, ValueError):
        return None
