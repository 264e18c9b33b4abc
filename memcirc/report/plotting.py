"""matplotlib as the pages use it: figures that are saved and never shown, so that no setting of the user's matters.

Its import fails where the environment names a backend that is not installed, as every program that is started from a
notebook inherits one, or where the user's ``matplotlibrc`` cannot be read; then it is imported without them. A backend
that does work stays the user's.
"""

import importlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

NEUTRAL = {"MPLBACKEND": "agg", "MATPLOTLIBRC": os.devnull}
PARTS = (
    "matplotlib", "matplotlib.axes", "matplotlib.figure", "matplotlib.layout_engine", "matplotlib.collections",
    "matplotlib.colors", "matplotlib.container", "matplotlib.ticker", "matplotlib.category",
)  # fmt: skip
OF_WINDOWS = ("backend", "backend_fallback", "interactive", "toolbar")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _imported() -> list[Any]:
    """The parts, without matplotlib's remarks about the user's files and folders."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        try:
            return [importlib.import_module(name) for name in PARTS]
        except ValueError:
            for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
                del sys.modules[name]
            with _environment(NEUTRAL):
                return [importlib.import_module(name) for name in PARTS]
    finally:
        logger.setLevel(level)


matplotlib, _axes, _figure, _layout, collections, colors, containers, ticker, category = _imported()
Axes, Figure, ConstrainedLayoutEngine = _axes.Axes, _figure.Figure, _layout.ConstrainedLayoutEngine


@contextmanager
def style(settings: Mapping[str, Any]) -> Iterator[None]:
    """matplotlib's own defaults with these settings on top, whatever the user's are; theirs hold again afterwards."""
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name not in OF_WINDOWS}
    with matplotlib.rc_context({**defaults, **settings}):
        yield
