"""What the stages' configurations share: checks that name the offending value and what is accepted."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any


def names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Several names, or the one that is given without a list; ValueError for what is no name."""
    found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    for name in found:
        if not isinstance(name, str):
            raise ValueError(f"{name!r:.60} ({type(name).__name__}) is no name")
    return found


def check_choices(config: Any) -> None:
    """Raises ValueError unless every field whose metadata lists ``choices`` holds one of them."""
    for f in fields(config):
        accepted, value = f.metadata.get("choices"), getattr(config, f.name)
        if accepted is not None and value not in accepted:
            raise ValueError(f"{f.name} {value!r} is not known; accepted: {', '.join(accepted)}")


def in_unit_interval(config: Any, *names: str) -> None:
    """Raises ValueError unless the fields lie in [0, 1]."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value} is outside [0, 1]")


def at_least(config: Any, minimum: int, *names: str) -> None:
    """Raises ValueError unless the fields are at least ``minimum``."""
    for name in names:
        value = getattr(config, name)
        if value < minimum:
            raise ValueError(f"{name} is {value}; at least {minimum} is needed")
