"""Frozen configurations as command-line options and as YAML, from one definition.

A field made by :func:`memcirc.config.option` is one. What the user did not say stays absent, so that a run's stored
configuration fills the gaps.
"""

import argparse
import difflib
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, fields
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from memcirc.config import LARGEST, shortened

Config = TypeVar("Config")
Options = TypeVar("Options")


def add_options(parser: argparse.ArgumentParser, config: type, title: str) -> None:
    """Add an option for every field of a configuration that carries help; defaults are stated, not set."""
    group = parser.add_argument_group(title)
    known = {flag for action in parser._actions for flag in action.option_strings}
    for f in fields(config):
        name = option_name(f)
        if "help" not in f.metadata or f"--{name}" in known:
            continue
        flags = (f"--{name}", *f.metadata.get("flags", ()))
        group.add_argument(*flags, dest=name, default=argparse.SUPPRESS, **_kind(f))


def option_name(f: "Field[Any]") -> str:
    """The name of a field's option."""
    return str(f.metadata.get("option", f.name))


def spellings(config: type) -> dict[str, str]:
    """The fields of a configuration by each of their names: their own, their option's and its further spellings."""
    return {
        flag.removeprefix("--"): f.name
        for f in fields(config)
        for flag in (f.name, option_name(f), *f.metadata.get("flags", ()))
    }


def respelled(config: type, content: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a configuration, in any spelling, in the fields' own names and words; what is no field stays.

    Raises:
        ValueError: a field is said in two spellings.
    """
    names, kinds = spellings(config), {f.name: f for f in fields(config)}
    named: dict[str, Any] = {}
    for key, value in content.items():
        if names.get(key, key) in named:
            raise ValueError(f"{key} {shortened(value)}: {names[key]} is said in another spelling, too; leave one out")
        named[names.get(key, key)] = value
    return {key: _worded(value, kinds[key]) if key in kinds else value for key, value in named.items()}


def _kind(f: "Field[Any]") -> dict[str, Any]:
    kind = _without_none(f.type)
    default = "" if f.default in (None, "", False) else f" (default: {f.default})"
    text = f.metadata["help"].replace("%", "%%") + default
    if kind is bool:
        return {"help": text, "action": _Switch}
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


class _Switch(argparse.Action):
    """``--name`` for yes and ``--no_name`` for no."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        denied = [f"--no_{flag.removeprefix('--')}" for flag in option_strings]
        super().__init__([*option_strings, *denied], dest, nargs=0, **kwargs)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, not (option_string or "").startswith("--no_"))


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def build(config: type[Config], *sources: Mapping[str, Any]) -> Config:
    """A configuration from several mappings, later ones winning; keys of other configurations are passed over."""
    merged = {key: value for source in sources for key, value in respelled(config, source).items()}
    return config(**{f.name: merged[f.name] for f in fields(config) if f.name in merged})  # type: ignore[arg-type]


def _worded(value: Any, f: "Field[Any]") -> Any:
    """A value in the field's own words. YAML reads 64 as a number and yes as true, also where a word is meant."""
    if isinstance(value, str):
        return f.metadata.get("words", {}).get(value, value)
    if _without_none(f.type) is not str or not isinstance(value, bool | int):
        return value
    if isinstance(value, bool):
        return ("yes" if value else "no") if "yes" in f.metadata.get("choices", ()) else value
    return str(value)


def chosen(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Those of the options that a TypedDict names."""
    return cast(Options, {name: value for name, value in given.items() if name in kind.__annotations__})


def refuse_keywords(function: str, given: Iterable[str], accepted: Iterable[str]) -> None:
    """Raises TypeError, as Python does, for a keyword that a function hands on and that nothing takes."""
    known = sorted(accepted)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}{hint} (accepted: {', '.join(known)})"
            )


def refuse_unknown(content: Mapping[str, Any], accepted: set[str], where: str) -> None:
    """Raises ValueError for a key that no configuration has."""
    for key in content:
        if key not in accepted:
            raise ValueError(f"{where}: {key!r} is not known; accepted: {', '.join(sorted(accepted))}")
