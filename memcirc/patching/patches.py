"""What is written into a run at once: one site, or several (subsets, windows of layers or positions)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memcirc.patching.sites import Site

OPERATIONS = ("replace", "add", "scale", "interpolate", "zero", "mean")


@dataclass(frozen=True)
class Patch:
    """Sites that are written in one run, and how.

    With a = ``amount``, x what the run has there and s what the source run has: ``replace`` s; ``add`` x + a s;
    ``interpolate`` x + a (s - x); ``scale`` a x; ``zero`` 0; ``mean`` the mean of s over the examples that have the
    position.

    Raises:
        ValueError: no site, or an operation that is not known.
    """

    sites: tuple[Site, ...]
    label: str = ""
    operation: str = "replace"
    amount: float = 1.0

    def __post_init__(self) -> None:
        if not self.sites:
            raise ValueError("a patch needs at least one site")
        if self.operation not in OPERATIONS:
            raise ValueError(f"operation {self.operation!r} is not known; accepted: {', '.join(OPERATIONS)}")
        if not self.label:
            object.__setattr__(self, "label", " + ".join(described(s) for s in self.sites))


def layer_windows(
    kind: str, layers: Sequence[int], width: int, positions: tuple[int, ...] | None = None
) -> list[Patch]:
    """Sliding windows: one kind of site in ``width`` neighbouring layers at once, labelled as such.

    Raises:
        ValueError: a window wider than there are layers.
    """
    if not 1 <= width <= len(layers):
        raise ValueError(f"a window of {width} layers does not fit; accepted: 1 to {len(layers)}")
    windows = [layers[i : i + width] for i in range(len(layers) - width + 1)]
    return [
        Patch(
            tuple(Site(kind, layer, positions) for layer in window),
            f"window of {kind}, layers {window[0]}-{window[-1]}",
        )
        for window in windows
    ]


def position_windows(where: Site, positions: Sequence[int], width: int) -> list[Patch]:
    """Sliding windows of ``width`` neighbouring positions of one site, labelled as such.

    Raises:
        ValueError: a window wider than there are positions.
    """
    if not 1 <= width <= len(positions):
        raise ValueError(f"a window of {width} positions does not fit; accepted: 1 to {len(positions)}")
    windows = [tuple(positions[i : i + width]) for i in range(len(positions) - width + 1)]
    return [
        Patch((replace(where, positions=window),), f"window of {where.hook}, positions {window[0]}-{window[-1]}")
        for window in windows
    ]


def described(where: Site) -> str:
    """A site in words: its hook, and the places in it that are written."""
    parts = [("pos", where.positions), ("head", where.heads), ("source", where.sources)]
    tail = [f"{name} {','.join(map(str, places))}" for name, places in parts if places is not None]
    return " ".join([where.hook, *tail])
