"""What a figure's points say: the numbers that were drawn, in the words of its axes, where they lie."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcirc.report.checks.curve import faithfulness_curves
from memcirc.report.checks.time import later_tokens
from memcirc.report.corpus import divergence_histogram, dose_response
from memcirc.report.drawing import draw
from memcirc.report.figures import bars, heat_maps, lines, points, svg
from memcirc.report.loss_bars import Bars, loss_bars
from memcirc.report.plotting import Figure
from memcirc.report.readings import MOST, Reading, mark_panels, readings_of
from memcirc.verification.curves import Curve
from memcirc.verification.removal import Removal
from memcirc.verification.time_resolved import Moment
from tests.report.records import record

CURVE = record(
    Curve, sizes=(1, 3, 9), faithfulness=(0.1, 0.5, 0.9), low=(0.0, 0.4, 0.8), high=(0.2, 0.6, 1.0),
    random_mean=(0.0, 0.1, 0.2), random_q95=(0.1, 0.2, 0.3), mean_ratio=(), smallest={},
)  # fmt: skip
GRID = np.array([[1.0, 2.0], [3.0, np.nan]])


def losses() -> Figure:
    rows = [record(Removal, text=kind) for kind in ("memorized", "other")]
    told = [Bars("circuit", "#1b5e8c", (0.5, 0.25), ((0.4, 0.6), (None, None)))]
    told += [Bars(name, "#c26a1a", (0.125, 0.0625)) for name in ("random", "all")]
    return loss_bars(rows, lambda _: told, lambda row: f"{row.text}\ntext", "{mode}")


def read(figure: Figure, out: Path) -> tuple[Reading, ...]:
    return draw(out, "figure", figure, "").readings


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (
            lambda: lines({"a": ([1, 2], [0.5, 0.25])}, "layer", "nats"),
            ["a: layer 1, nats 0.5", "a: layer 2, nats 0.25"],
        ),
        (
            lambda: points({"one": {"some": ([1, 2], [3, 4.5])}, "two": {"": ([0], [1])}}, "x", "y"),
            ["one: some: x 1, y 3", "one: some: x 2, y 4.5", "two: x 0, y 1"],
        ),
        (
            lambda: heat_maps({"map": GRID}, ["p", "q"], ["0", "1"], "position", "layer", "effect"),
            ["position p, layer 0: 1", "position q, layer 0: 2", "position p, layer 1: 3"],
        ),
        (lambda: bars({"a": 1.5, "b": -2.0}, "nats"), ["nats 1.5, a", "nats -2, b"]),
        (lambda: bars({"a": 1.5}, "nats", {"a": (1.0, 1.75)}), ["nats 1.5, a (1 to 1.75)"]),
        (
            lambda: dose_response([1, 1, 4, 4], [False, False, True, True], [0.0, 0.5, 1.0, 1.0]),
            [
                "mean memorization score: copies in the corpus 1, n = 2, share 0.25",
                "mean memorization score: copies in the corpus 4, n = 2, share 1",
                "recited exactly (95 % interval): copies in the corpus 1, n = 2, share 0 (0 to 0.658)",
                "recited exactly (95 % interval): copies in the corpus 4, n = 2, share 1 (0.342 to 1)",
            ],
        ),
        (
            lambda: divergence_histogram([1, 1, 3]),
            [f"tokens of context at which recitation breaks off {n + 1}, pairs {m}" for n, m in enumerate((2, 0, 1))],
        ),
        (
            lambda: heat_maps(dict.fromkeys("ab", GRID[:, :1]), ["p"], ["0", "1"], "position", "layer", "", columns=1),
            [f"{panel}: position p, layer {i}: {value}" for panel in "ab" for i, value in enumerate((1, 3))],
        ),
        (
            lambda: later_tokens([record(Moment, overlap=(1.0,), onset_faithfulness=0.5, own_faithfulness=0.25)]),
            [
                "tree, 0 edges: the onset's circuit: tokens after the decision 0, faithfulness, or Jaccard 0.5",
                "tree, 0 edges: that token's own: tokens after the decision 0, faithfulness, or Jaccard 0.25",
                "tree, 0 edges: overlap with the onset's: tokens after the decision 0, faithfulness, or Jaccard 1",
                "overlap of circuits (Jaccard): +0, +0: 1",
            ],
        ),
        (
            losses,
            [
                "circuit: memorized, text, added loss, nats a token 0.5 (0.4 to 0.6)",
                "circuit: other, text, added loss, nats a token 0.25",
                *(f"{name}: {kind}, text, added loss, nats a token {n}" for name in ("random", "all")
                  for kind, n in (("memorized", 0.125), ("other", 0.0625))),
            ],
        ),
    ],
)  # fmt: skip
def test_every_point_says_its_numbers(figure: Callable[[], Figure], said: list[str], tmp_path: Path) -> None:
    assert [reading.text for reading in read(figure(), tmp_path)] == said


def test_a_curve_says_its_band_and_that_of_random_circuits(tmp_path: Path) -> None:
    found = read(faithfulness_curves([CURVE], {"tree": 3}, 0.85), tmp_path)
    assert [reading.text for reading in found[:1] + found[-1:]] == [
        "found ranking, test pairs: edges in the circuit 1, faithfulness 0.1; its 95 % interval 0 to 0.2",
        "random circuits, mean: edges in the circuit 9, faithfulness 0.2; up to their 95th percentile 0.2 to 0.3",
    ]


@settings(max_examples=8)
@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=2, max_size=8, unique=True))
def test_points_lie_where_they_are_drawn(places: list[tuple[float, float]]) -> None:
    """Against the places of the marks in the drawing itself."""
    x, y = (np.array(values) for values in zip(*places, strict=True))
    figure = points({"": {"some": (x, y)}}, "x", "y")
    mark_panels(figure)
    drawn = svg(figure)
    marks = drawn[drawn.index('id="PathCollection_1"') :].split("</g>")[0]
    at = [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*?x="([^"]*)" y="([^"]*)"', marks)]
    found = readings_of(figure, drawn)
    assert [(reading.x, reading.y) for reading in found] == [pytest.approx(place, abs=0.11) for place in at]


def test_a_cloud_of_too_many_says_none(tmp_path: Path) -> None:
    many = np.arange(MOST + 1)
    assert read(points({"": {"some": (many, many)}}, "x", "y"), tmp_path) == ()
    assert len(read(points({"": {"some": (many[1:], many[1:])}}, "x", "y"), tmp_path)) == MOST


def test_what_is_no_number_and_what_the_legend_does_not_name_say_nothing(tmp_path: Path) -> None:
    found = read(lines({"a": ([1, 2], [0.5, np.nan]), "_b": ([1, 2], [0, 1])}, "x", "y"), tmp_path)
    assert [reading.text for reading in found] == ["a: x 1, y 0.5"]
