"""What the stages' configurations share: checks that name the offending value and what is accepted."""

from typing import Any


def choice(config: Any, name: str, *accepted: Any) -> None:
    """Raises ValueError unless the field is one of ``accepted``."""
    value = getattr(config, name)
    if value not in accepted:
        raise ValueError(f"{name} {value!r} is not known; accepted: {', '.join(map(str, accepted))}")


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
