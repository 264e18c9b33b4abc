"""The minimal circuit of a model: among prefixes, under several ablations at once, and without what it can spare."""

from typing import Any

import pytest

from memcirc.circuits.minimal import find_minimal
from memcirc.circuits.runner import circuit_runner
from tests.models import small_model
from tests.verification.subjects import subject


def test_under_several_ablations_the_prefix_reaches_the_target_under_each() -> None:
    made = subject()
    assert made.scores is not None
    ablations = ["resample", "mean-clean", "zero"]
    runners = [circuit_runner(made.model, made.pairs, mode="tree", ablation=each) for each in ablations]
    alone = [find_minimal(made.model, made.pairs, made.scores, mode="tree", target=0.7, ablation=a) for a in ablations]
    found = find_minimal(made.model, made.pairs, made.scores, mode="tree", target=0.7, also_under=ablations[1:])
    assert found.n_edges >= max(each.n_edges for each in alone)
    kept = [float(runner.faithfulness([found.circuit])[0]) for runner in runners]
    assert found.faithfulness == pytest.approx(min(kept))
    assert found.faithfulness >= 0.7
    assert (found.alone, alone[0].alone) == (alone[0].n_edges, None)


def test_one_further_ablation_may_be_a_word_and_what_there_is_not_is_refused() -> None:
    made = subject()
    assert made.scores is not None
    one, listed = (
        find_minimal(made.model, made.pairs, made.scores, mode="tree", target=0.7, also_under=also)
        for also in ("zero", ["zero"])
    )
    assert one.circuit == listed.circuit
    with pytest.raises(ValueError, match="ablation 'other' is not known"):
        find_minimal(made.model, made.pairs, made.scores, mode="tree", also_under=["other"])
    with pytest.raises(ValueError, match="most_circuits"):
        find_minimal(made.model, made.pairs, made.scores, mode="tree", refine=True, most_circuits=0)
    for switch in ("refine", "scan"):
        options: Any = {switch: "no"}
        with pytest.raises(ValueError, match=f"{switch} is 'no'; True or False is needed"):
            find_minimal(made.model, made.pairs, made.scores, mode="tree", **options)


def test_refining_on_a_model_gives_a_circuit_of_which_every_edge_is_needed() -> None:
    """By the runner itself, on the validation pairs and on those that guard."""
    made = subject()
    assert made.scores is not None
    assert made.train is not None
    for mode in ("tree", "edge"):
        found = find_minimal(
            made.model, made.pairs, made.scores, mode=mode, target=0.7, refine=True, guard=made.train,
            also_under=["mean-clean"] if mode == "tree" else [],
        )  # fmt: skip
        assert found.refinement is not None
        assert found.refinement.certified
        assert found.n_edges == len(found.circuit) <= found.prefix
        runners = [circuit_runner(made.model, pairs, mode=mode) for pairs in (made.pairs, made.train)]
        runners += [circuit_runner(made.model, made.pairs, mode=mode, ablation="mean-clean")] if mode == "tree" else []
        guard = min(0.7, float(runners[1].faithfulness([made.scores.top(found.prefix)])[0]))
        asked = [0.7, guard, 0.7][: len(runners)]
        kept = [float(runner.faithfulness([found.circuit])[0]) for runner in (runners[0], *runners[2:])]
        assert found.faithfulness == pytest.approx(min(kept))
        for runner, least in zip(runners, asked, strict=True):
            assert runner.faithfulness([found.circuit])[0] >= least - 1e-6
        for edge in found.circuit:
            left = [found.circuit.edges - {edge}]
            margins = [float(r.faithfulness(left)[0]) - least for r, least in zip(runners, asked, strict=True)]
            assert min(margins) < 1e-6


def test_what_a_prefix_keeps_is_a_target_that_it_reaches_also_beside_others() -> None:
    """In float32, where a circuit's last digits depend on what is run with it: the target is what a prefix keeps, on
    validation and, where that is less than the target, on the pairs that guard."""
    made = subject(model=small_model("gpt2", dtype="float32"))
    assert made.scores is not None
    alone = circuit_runner(made.model, made.pairs, mode="tree")
    for n in range(20, made.graph.n_edges, 20):
        target = float(alone.faithfulness([made.scores.top(n)])[0])
        if 0 < target <= 1:
            found = find_minimal(
                made.model, made.pairs, made.scores, mode="tree", target=target, refine=True, guard=made.train,
                most_circuits=40,
            )  # fmt: skip
            assert found.n_edges <= found.prefix
            assert found.prefix <= n or 0 < target - found.evaluated[n] < 1e-5  # its last digits, in other company
