"""Frozen configurations as command-line options and as YAML, from one definition.

A field becomes an option when its metadata holds ``help``; ``flags`` are further spellings. Options may be written with
``_`` or ``-``. What the user did not say stays absent, so that a run's stored configuration fills the gaps.
"""

import argparse
import math
import types
from collections.abc import Mapping
from dataclasses import Field, fields
from typing import Any, TypeVar, Union, get_args, get_origin

from memcirc.config import LARGEST

Config = TypeVar("Config")


def add_options(parser: argparse.ArgumentParser, config: type, title: str) -> None:
    """Add an option for every field of a configuration that carries help; defaults are stated, not set."""
    group = parser.add_argument_group(title)
    known = {flag for action in parser._actions for flag in action.option_strings}
    for f in fields(config):
        if "help" not in f.metadata or f"--{f.name}" in known:
            continue
        spellings = [f"--{f.name}", *f.metadata.get("flags", ())]
        flags = [flag for name in spellings for flag in dict.fromkeys((name, "--" + name[2:].replace("_", "-")))]
        group.add_argument(*flags, dest=f.name, default=argparse.SUPPRESS, **_kind(f))


def _kind(f: "Field[Any]") -> dict[str, Any]:
    kind = _without_none(f.type)
    default = "" if f.default in (None, "", False) else f" (default: {f.default})"
    text = f.metadata["help"].replace("%", "%%") + default
    if kind is bool:
        return {"help": text, "action": argparse.BooleanOptionalAction}
    if "choices" in f.metadata:
        return {"help": text, "metavar": "{" + ",".join(f.metadata["choices"]) + "}"}
    if kind in (int, float):
        number = whole_number if kind is int else finite_number
        return {"help": text, "type": number, "metavar": "N" if kind is int else "X"}
    return {"help": text, "type": kind, "metavar": "TEXT"}


def whole_number(text: str) -> int:
    """The number that an option is given.

    Raises:
        argparse.ArgumentTypeError: no whole number, or one that fits no array, seed or count.
    """
    try:
        number = int(text)
    except ValueError:
        number = LARGEST + 1
    if abs(number) > LARGEST:
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no whole number between -{LARGEST} and {LARGEST}")
    return number


def finite_number(text: str) -> float:
    """The number that an option is given.

    Raises:
        argparse.ArgumentTypeError: no number, or not a finite one.
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{shortened(text)} is no finite number")
    return number


def shortened(text: str) -> str:
    """What a message says of a value that may be long."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def build(config: type[Config], *sources: Mapping[str, Any]) -> Config:
    """A configuration from several mappings, later ones winning; keys of other configurations are passed over.

    Raises:
        ValueError: a number that is not finite or fits no array, seed or count; or what the configuration refuses.
    """
    names = {f.name for f in fields(config)}  # type: ignore[arg-type]
    merged = {key: value for source in sources for key, value in source.items() if key in names}
    for key, value in merged.items():
        if isinstance(value, int | float) and not abs(value) <= LARGEST:
            raise ValueError(f"{key} {shortened(str(value))}: accepted are numbers between -{LARGEST} and {LARGEST}")
    return config(**merged)


def refuse_unknown(content: Mapping[str, Any], accepted: set[str], where: str) -> None:
    """Raises ValueError for a key that no configuration has."""
    for key in content:
        if key not in accepted:
            raise ValueError(f"{where}: {key!r} is not known; accepted: {', '.join(sorted(accepted))}")
