from typing import Any

import pytest
import torch

from memcirc.interventions import ABLATIONS
from memcirc.report.checks.curve import ablation_curves, faithfulness_curves
from memcirc.verification.areas import areas
from memcirc.verification.curves import WORK, Curve, first_reaching, log_grid
from memcirc.verification.subject import Subject
from tests.report.records import record
from tests.verification.subjects import records, subject


@pytest.fixture(scope="module")
def made() -> Subject:
    return subject(ablations=("resample", "zero"), settings={"thorough": True})


def test_every_curve_ends_at_one_and_starts_near_nothing(made: Subject) -> None:
    found = records(WORK, made)
    assert [(c.ablation, c.direction) for c in found] == [
        ("resample", "noising"), ("resample", "denoising"), ("zero", "noising"), ("zero", "denoising")
    ]  # fmt: skip
    for curve in found:
        assert curve.sizes[0] == 1
        assert curve.faithfulness[-1] == pytest.approx(1)
        assert curve.mean_ratio[-1] == pytest.approx(1)
        assert curve.mib_areas == areas(curve.mib_fractions, curve.mib_faithfulness)
        assert all(low <= high for low, high in zip(curve.low, curve.high, strict=True))


def test_values_on_the_curve_are_the_circuits_own(made: Subject) -> None:
    (curve,) = [c for c in records(WORK, made) if (c.ablation, c.reverse) == ("zero", True)]
    alone = made.runner("zero", True).faithfulness(made.ranking.masks(curve.sizes)).tolist()
    assert curve.faithfulness == pytest.approx(alone)


def test_chance_stands_beside_the_modes_own_direction_alone(made: Subject) -> None:
    for curve in records(WORK, made):
        beside = curve.ablation == "resample" and not curve.reverse
        assert len(curve.random_mean) == len(curve.random_q95) == (len(curve.sizes) if beside else 0)
        if beside:
            assert curve.random_mean[-1] == pytest.approx(1)


def test_without_thoroughness_only_resample_is_drawn() -> None:
    found = records(WORK, subject(ablations=("resample", "zero")))
    assert {c.ablation for c in found} == {"resample"}


def test_too_few_random_circuits_have_no_percentile(made: Subject) -> None:
    few, many = records(WORK, subject())[0], records(WORK, made)[0]
    assert len(few.random_mean) == len(few.sizes)
    assert (few.n_random, few.random_q95) == (5, [])
    assert (many.n_random, len(many.random_q95)) == (20, len(many.sizes))
    drawn = [faithfulness_curves([curve], {}, 0.85) for curve in (few, many)]
    assert [len(figure.axes[0].collections) for figure in drawn] == [1, 2]


def test_every_ablation_has_a_colour_of_its_own() -> None:
    nothing: dict[str, Any] = {"mean_ratio": (), "smallest": {}}
    curves = [record(Curve, ablation=name, sizes=(1, 3), faithfulness=(0.1, 0.9), **nothing) for name in ABLATIONS]
    panel = ablation_curves(curves, 0.85).axes[0]
    colours = {line.get_label(): line.get_color() for line in panel.lines[1:]}
    assert list(colours) == list(ABLATIONS)
    assert len(set(colours.values())) == len(ABLATIONS)


def test_the_first_size_that_reaches_a_target_does_and_its_neighbour_does_not(made: Subject) -> None:
    runner, ranking = made.runner(), made.ranking
    sizes = log_grid(runner.graph.n_edges, 6)
    known = dict(zip(sizes, runner.faithfulness(ranking.masks(sizes)).tolist(), strict=True))
    size = first_reaching(runner, ranking, known, 0.9, "logit_diff")
    assert size is not None
    before, at = runner.faithfulness(ranking.masks([size - 1, size])).tolist()
    assert at >= 0.9 > before
    assert first_reaching(runner, ranking, {5: 0.1, 9: 0.2}, 0.9, "logit_diff") is None


def test_a_grid_is_rising_and_whole() -> None:
    grid = log_grid(1519, 16)
    assert grid == sorted(set(grid))
    assert (grid[0], grid[-1]) == (1, 1519)


def test_scores_of_another_graph_are_refused_with_both_numbers() -> None:
    other = subject("attention_only").needed("scores")
    mixed = subject(scores=other)
    with pytest.raises(ValueError, match=f"scores of a graph of {other.graph.n_edges} edges, a model of"):
        records(WORK, mixed)
    assert torch.is_tensor(other.values)
