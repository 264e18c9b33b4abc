"""Measurements: faithfulness, its interval, and the ratios of pairs."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from memcirc.circuit import Circuit
from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.pairs.record import Pairs
from memcirc.verification.faithfulness import QUANTILES, WORK, distribution, measure, pair_ratios
from tests.models import random_pairs, small_model
from tests.verification.subjects import subject


def test_a_measurement_lies_within_its_interval_and_its_pairs_ratios_average_to_the_mean_ratio() -> None:
    made = subject()
    row = measure(made.runner(), made.circuit)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.faithfulness <= row.high  # type: ignore[operator]
    ratios = pair_ratios(made.runner(), made.runner().per_pair([made.circuit])[0], "logit_diff")
    assert row.mean_ratio == pytest.approx(ratios.mean())


def test_the_worst_pairs_are_those_of_the_lowest_ratios() -> None:
    made = subject()
    found = distribution(made.runner(), made.circuit)
    ratios = pair_ratios(made.runner(), made.runner().per_pair([made.circuit])[0], "logit_diff")
    assert [case["pair"] for case in found.worst] == np.argsort(ratios)[:5].tolist()
    assert found.quantiles["0.5"] == pytest.approx(np.median(ratios))
    assert found.outside == pytest.approx((ratios < 0).mean())


@pytest.mark.parametrize("mode", ["tree", "edge"])
def test_faithfulness_is_zero_and_one_at_the_ends_in_both_directions(mode: str) -> None:
    made = subject(mode=mode)
    for ablation in ("resample", "zero"):
        for reverse in (False, True):
            runner = made.runner(ablation, reverse)
            masks = torch.stack([torch.zeros(made.graph.n_edges), torch.ones(made.graph.n_edges)]).bool()
            assert runner.faithfulness(masks).tolist() == pytest.approx([0, 1])


def with_equal_pairs(n_equal: int, n_other: int) -> CircuitRunner:
    """A runner on pairs some of whose answers are their wrong answers too, so that their own ends coincide."""
    others = random_pairs(n_other, seed=2).items
    equal = tuple(replace(p, wrong_answer_ids=p.answer_ids) for p in random_pairs(n_equal))
    items = [replace(p, doc_id=f"d{i}", copies=i, clean="x" * 50, answers=("a", "b")) for i, p in
             enumerate((*equal, *others))]  # fmt: skip
    return circuit_runner(small_model("gpt2"), Pairs(tuple(items)), mode="tree")


def some_circuit(runner: CircuitRunner) -> Circuit:
    return Circuit.from_edges(runner.graph.edges[::2])


def test_pairs_whose_own_ends_coincide_are_counted_and_have_no_ratio() -> None:
    runner = with_equal_pairs(2, 4)
    found = distribution(runner, some_circuit(runner))
    assert (found.n_pairs, found.undefined, len(found.worst)) == (6, 2, 4)
    per_pair = runner.per_pair([some_circuit(runner)])[0].double()
    ratios = pair_ratios(runner, per_pair, "logit_diff")
    assert np.isnan(ratios).tolist() == [True, True, False, False, False, False]
    nothing, everything = runner.end_values().double()
    expected = ((per_pair - nothing) / (everything - nothing))[2:]
    assert ratios[2:].tolist() == pytest.approx(expected.tolist())
    assert found.ratios == pytest.approx({runner.pairs[i].fingerprint: float(ratios[i]) for i in range(2, 6)})
    assert list(found.ratios) == [runner.pairs[i : i + 1].fingerprint for i in range(2, 6)]
    assert found.outside == pytest.approx(float((expected < 0).double().mean()))
    assert found.quantiles == pytest.approx({f"{q:g}": np.quantile(expected, q) for q in QUANTILES})
    row = measure(runner, some_circuit(runner))
    assert (row.mean_ratio, row.median_ratio) == pytest.approx((float(expected.mean()), np.median(expected)))


def test_the_worst_pairs_are_told_with_what_they_are() -> None:
    runner = with_equal_pairs(1, 8)
    circuit = some_circuit(runner)
    found = distribution(runner, circuit)
    values, (nothing, everything) = runner.per_pair([circuit])[0], runner.end_values()
    assert len(found.worst) == 5
    assert [case["ratio"] for case in found.worst] == sorted(case["ratio"] for case in found.worst)
    for case in found.worst:
        i = case["pair"]
        assert (case["doc_id"], case["copies"], case["ends_with"], case["answer"]) == (f"d{i}", i, "x" * 40, "a/b")
        assert (case["value"], case["nothing"], case["everything"]) == pytest.approx(
            (float(values[i]), float(nothing[i]), float(everything[i]))
        )


def test_pairs_that_do_not_contrast_have_a_stated_and_not_a_raised_faithfulness() -> None:
    """Pairs whose answer is never the argmax: with no edge and with all, none is correct."""
    model, pairs = small_model("gpt2"), random_pairs(6)
    said = {int(i) for ids in ("clean_ids", "corrupt_ids")
            for i in model.logits(torch.tensor([getattr(p, ids) for p in pairs]))[:, -1].argmax(-1)}  # fmt: skip
    never = next(i for i in range(31) if i not in said)
    runner = circuit_runner(model, Pairs(tuple(replace(p, answer_ids=(never,)) for p in pairs)), mode="tree")
    row = measure(runner, some_circuit(runner), "correct")
    assert (row.nothing, row.everything) == (0, 0)
    assert (row.faithfulness, row.low, row.mean_ratio, row.median_ratio) == (None, None, None, None)
    assert "faithfulness is not defined" in row.note
    with pytest.raises(ValueError, match="none of 6 pairs has ends of correct that differ"):
        distribution(runner, some_circuit(runner), "correct")


def test_a_measurement_tells_its_value_its_ends_and_how_often_the_answer_is_right() -> None:
    made = subject()
    runner, values = made.runner(), made.runner().per_pair([made.circuit])[0].double()
    row = measure(runner, made.circuit)
    ends = runner.ends()
    assert (row.n_edges, row.n_pairs, row.note) == (30, 10, "")
    assert (row.value, row.nothing, row.everything) == pytest.approx((float(values.mean()), ends.nothing,
                                                                     ends.everything))  # fmt: skip
    assert row.faithfulness == pytest.approx((row.value - row.nothing) / (row.everything - row.nothing))
    right = [
        float(logits.argmax() in pair.answer_ids)
        for logits, pair in zip(runner.logits([made.circuit])[0], made.pairs, strict=True)
    ]
    assert row.correct == pytest.approx(np.mean(right))
    assert row.correct_everything == runner.ends("correct").everything


def test_too_few_documents_have_a_faithfulness_and_no_interval() -> None:
    runner = circuit_runner(small_model("gpt2"), random_pairs(4), mode="tree")
    row = measure(runner, some_circuit(runner))
    assert row.faithfulness is not None
    assert (row.low, row.high) == (None, None)


def test_the_combination_that_needs_a_word_has_it_in_its_note() -> None:
    runner = circuit_runner(small_model("gpt2"), random_pairs(4), mode="edge", ablation="zero")
    assert measure(runner, some_circuit(runner)).note == "ablates the circuit on the corrupt run"


def test_every_ablation_is_measured_in_every_direction_and_resample_is_spread_over_pairs() -> None:
    made = replace(subject(), ablations=("resample", "zero"))
    jobs = list(WORK.jobs(made))
    assert [job.label for job in jobs] == [
        "resample, noising", "resample, denoising", "zero, noising", "zero, denoising",
        "resample, noising", "resample, denoising",
    ]  # fmt: skip
    (row,) = jobs[2].run(made)
    assert (row.ablation, row.reverse, row.KEY) == ("zero", False, "faithfulness")
    (spread,) = jobs[5].run(made)
    assert (spread.ablation, spread.reverse, spread.KEY) == ("resample", True, "distribution")
