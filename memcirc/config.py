"""What the stages' configurations share: checks that name the offending value and what is accepted."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import field, fields
from numbers import Integral
from typing import Any

LARGEST = 2**31 - 1
"""What a whole number may be at most: it fits every seed, count and array."""
LONGEST_REPR = 160
"""Characters of what a record says of itself."""


def option(
    default: Any,
    help: str,
    choices: Iterable[str] | None = None,
    flags: Iterable[str] = (),
    words: Mapping[str, str] | None = None,
    name: str | None = None,
) -> Any:
    """A field of a configuration that is an option of the command (:mod:`memcirc.options`).

    Args:
        help: what the option's help says.
        choices: the values that are accepted.
        flags: further spellings of the option, as ``--ig``; without their dashes files may use them too.
        words: further words for values, and what they mean.
        name: the option's name where another configuration has an option of the field's.
    """
    told = {"help": help, "choices": choices, "flags": flags, "words": words or {}, "option": name}
    return field(default=default, metadata={key: value for key, value in told.items() if value is not None})


def names(given: str | Iterable[str]) -> tuple[str, ...]:
    """Several names, or the one that is given without a list; ValueError for what is no name."""
    found = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    for name in found:
        if not isinstance(name, str):
            raise ValueError(f"{name!r:.60} ({type(name).__name__}) is no name")
    return found


def check_fields(config: Any) -> None:
    """Raises ValueError unless every field holds what it is annotated with (whole numbers up to :data:`LARGEST`, finite
    other ones), and one of its ``choices`` where its metadata lists them."""
    for f in fields(config):
        accepted, value = f.metadata.get("choices"), getattr(config, f.name)
        problem = wrong_type(value, f.type)
        if problem:
            raise ValueError(f"{f.name} {shortened(value)}: {problem}")
        if accepted is not None and value not in accepted:
            raise ValueError(f"{f.name} {value!r} is not known; accepted: {', '.join(accepted)}")


def wrong_type(value: Any, annotation: Any) -> str:
    """What is wrong with a value for its annotation, in words; nothing where it fits. ``True`` is no number."""
    from pydantic import TypeAdapter, ValidationError  # heavy, and --help builds no configuration

    try:
        TypeAdapter(annotation).validate_python(value, strict=True)
    except ValidationError as error:
        return str(error.errors()[0]["msg"]).replace("Input should be", "accepted is")
    if isinstance(value, float) and not math.isfinite(value):
        return "accepted is a finite number"
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"accepted is a whole number between -{LARGEST} and {LARGEST}"
    return ""


def shortened(value: Any) -> str:
    """A value as a message shows it."""
    return cut(repr(value), 60)


def cut(text: str, length: int) -> str:
    """A text of at most that many characters; one that is longer ends in dots."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def broken_text(text: str) -> str:
    """What makes a text one that no file takes, in words; nothing where it is whole."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"has half a character at position {error.start} (a lone surrogate, {text[error.start]!a})"
    return ""


def in_one_line(error: BaseException) -> str:
    """What an error says first, or what it is."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def in_unit_interval(config: Any, *names: str) -> None:
    """Raises ValueError unless the fields lie in [0, 1]."""
    for name in names:
        value = getattr(config, name)
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value} is outside [0, 1]")


def check_count(name: str, value: Any) -> None:
    """Raises ValueError unless a value is a whole number of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ValueError(f"{name} is {shortened(value)}; a whole number is needed")
    if value < 1:
        raise ValueError(f"{name} is {value}; at least 1 is needed")


def check_switch(name: str, value: Any) -> None:
    """Raises ValueError unless a value is True or False: "no" would be taken for yes."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {shortened(value)}; True or False is needed")


def above(config: Any, minimum: int, *names: str) -> None:
    """Raises ValueError unless the fields are above ``minimum``."""
    for name in names:
        value = getattr(config, name)
        if not value > minimum:
            raise ValueError(f"{name} is {value}; above {minimum} is needed")


def at_least(config: Any, minimum: int, *names: str) -> None:
    """Raises ValueError unless the fields are at least ``minimum``."""
    for name in names:
        value = getattr(config, name)
        if value < minimum:
            raise ValueError(f"{name} is {value}; at least {minimum} is needed")
