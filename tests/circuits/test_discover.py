"""The discovery stage: attribution in units, and circuits whose size the validation split chooses."""

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuits.config import DiscoverConfig
from memcirc.circuits.discover import attribution_options, discover, n_pieces, scored_piece, statement
from memcirc.circuits.minimal import find_minimal
from memcirc.circuits.runner import circuit_runner
from memcirc.pairs.record import joined
from tests.models import random_pairs, small_model

MODEL = small_model("attention_only")
TRAIN, VALIDATION = random_pairs(5, seed=1), random_pairs(3, seed=2)


def config(**told: object) -> DiscoverConfig:
    return DiscoverConfig(**{"method": "eap", "unit_pairs": 2, **told})  # type: ignore[arg-type]


@pytest.mark.parametrize(("unit_pairs", "n"), [(1, 5), (2, 3), (4, 2), (5, 1), (64, 1)])
def test_units_hold_so_many_pairs_and_the_last_one_the_rest(unit_pairs: int, n: int) -> None:
    assert n_pieces(TRAIN, config(unit_pairs=unit_pairs)) == n


@pytest.mark.parametrize("ablation", ["resample", "mean-clean"])
@pytest.mark.parametrize("unit_pairs", [2, 64])
def test_scores_in_units_are_those_of_all_training_pairs_at_once(ablation: str, unit_pairs: int) -> None:
    """Means are over all of them in every unit."""
    found = discover(MODEL, TRAIN, VALIDATION, config(ablation=ablation, unit_pairs=unit_pairs), modes=())
    expected = attribute(MODEL, TRAIN, "eap", ablation=ablation)
    torch.testing.assert_close(found.scores.values, expected.values)


def test_pieces_that_are_given_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [scored_piece(MODEL, TRAIN, config(), unit) for unit in range(3)]
    monkeypatch.setattr("memcirc.circuits.discover.scored_piece", None)
    found = discover(MODEL, TRAIN, VALIDATION, config(), modes=(), pieces=pieces)
    torch.testing.assert_close(found.scores.values, attribute(MODEL, TRAIN, "eap").values)


@pytest.mark.parametrize("told", [{}, {"ablation": "mean-both", "reverse": True, "by": "signed", "selection": "greedy",
                                       "target": 0.5, "metric": "prob_diff"}])  # fmt: skip
def test_a_circuit_of_each_mode_is_found_on_the_validation_pairs_as_configured(told: dict[str, object]) -> None:
    asked = config(**told)
    found = discover(MODEL, TRAIN, VALIDATION, asked)
    assert list(found.minimal) == ["tree", "edge"]
    for mode, minimal in found.minimal.items():
        expected = find_minimal(
            MODEL, VALIDATION, found.scores, mode=mode, target=asked.target, metric=asked.metric, by=asked.by,
            selection=asked.selection, ablation=asked.ablation, reverse=asked.reverse,
            reference=joined(TRAIN, VALIDATION),
        )  # fmt: skip
        assert (minimal.n_edges, minimal.circuit.edges) == (expected.n_edges, expected.circuit.edges)
        assert minimal.faithfulness == pytest.approx(expected.faithfulness)


def test_a_circuits_file_states_how_it_was_found_and_on_which_pairs() -> None:
    asked = config(target=0.5)
    minimal = discover(MODEL, TRAIN, VALIDATION, asked, modes=("edge",)).minimal["edge"]
    stated = statement(minimal, "edge", asked, VALIDATION)
    assert {name: stated[name] for name in ("mode", "reverse", "ablation", "metric", "target")} == {
        "mode": "edge", "reverse": False, "ablation": "resample", "metric": "logit_diff", "target": 0.5,
    }  # fmt: skip
    for name in ("target_met", "faithfulness", "lower_bound", "monotone"):
        assert stated[name] == getattr(minimal, name)
    assert stated["evaluated"] == {str(size): value for size, value in minimal.evaluated.items()}
    assert stated["size_chosen_on"] == {
        "split": "validation", "pairs": 3, "data_fingerprint": VALIDATION.fingerprint,
    }  # fmt: skip


def test_a_refined_circuits_file_states_its_prefix_and_its_certificate() -> None:
    asked = config(target=0.6, refine=True)
    minimal = discover(MODEL, TRAIN, VALIDATION, asked, modes=("tree",)).minimal["tree"]
    plain = discover(MODEL, TRAIN, VALIDATION, config(target=0.6), modes=("tree",)).minimal["tree"]
    assert minimal.refinement is not None
    assert minimal.circuit.origin["refined"] == {
        "prefix": plain.n_edges,
        "prefix_faithfulness": plain.faithfulness,
        "faithfulness": minimal.faithfulness,
        "certified": True,
        "closest_removal": minimal.refinement.closest,
        "circuits_measured": minimal.refinement.circuits,
    }
    assert minimal.n_edges == len(minimal.circuit) <= plain.n_edges
    assert "refined" not in plain.circuit.origin


def test_a_circuit_that_several_ablations_are_to_bear_out_reaches_the_target_under_each() -> None:
    asked = config(target=0.6, also_under="mean-clean, zero")
    found = discover(MODEL, TRAIN, VALIDATION, asked, modes=("tree",))
    minimal = found.minimal["tree"]
    for ablation in ("resample", "mean-clean", "zero"):
        runner = circuit_runner(MODEL, VALIDATION, mode="tree", ablation=ablation, reference=joined(TRAIN, VALIDATION))
        assert runner.faithfulness([minimal.circuit])[0] >= 0.6 - 1e-6
    told, alone = statement(minimal, "tree", asked, VALIDATION), discover(MODEL, TRAIN, VALIDATION, config(target=0.6))
    assert told["also_under"] == ["mean-clean", "zero"]
    assert (told["prefix"], told["prefix_alone"]) == (minimal.n_edges, alone.minimal["tree"].n_edges)


def test_attribution_is_told_what_the_configuration_says_of_it() -> None:
    told = attribution_options(config(steps=3, objective="prob_diff", seed=4, batch_size=7, reverse=True), TRAIN)
    assert told == {"steps": 3, "grid": "0..m-1", "objective": "prob_diff", "ablation": "resample",
                    "engine": "native", "batch_size": 7, "seed": 4, "updates": 300, "rate": 0.1, "reverse": True,
                    "reference": TRAIN}  # fmt: skip
