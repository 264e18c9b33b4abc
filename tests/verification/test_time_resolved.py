"""Circuits of later tokens: the pairs at a delay, and what they share with the onset."""

import math
from dataclasses import replace

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuits.runner import circuit_runner
from memcirc.memorization.generation import greedy
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.time_resolved import CLEAN, CORRUPT, DELAYS, continuations, delayed, is_branch, time_resolved
from tests.models import random_pairs, small_model
from tests.verification.subjects import branch_subject, subject


def test_pairs_at_a_delay_have_that_many_more_tokens_of_each_side() -> None:
    made, test = branch_subject()
    said = continuations(made.model, test, 3, CORRUPT)
    later = delayed(made.model, test, made.passages, 2)
    assert len(later) + sum(later.dropped.values()) == len(test)
    by = {pair.doc_id: (pair, tokens) for pair, tokens in zip(test, said, strict=True)}
    for pair in later:
        first, tokens = by[pair.doc_id]
        truth = made.passages.truth_after(first)
        assert pair.clean_ids == first.clean_ids + truth[:2]
        assert pair.corrupt_ids == first.corrupt_ids + tokens[:2]
        assert (pair.answer_ids, pair.wrong_answer_ids) == ((truth[2],), (tokens[2],))


def test_at_the_onset_the_pairs_are_the_pairs_themselves() -> None:
    made, test = branch_subject()
    assert all(is_branch(pair) for pair in test)
    onset = delayed(made.model, test, made.passages, 0)
    assert [(p.clean_ids, p.answer_ids, p.wrong_answer_ids) for p in onset] == [
        (p.clean_ids, p.answer_ids, p.wrong_answer_ids) for p in test
    ]


def test_time_resolved_circuits_overlap_fully_with_themselves() -> None:
    made, test = branch_subject(n_pairs=30)
    rows = time_resolved(replace(made, pairs=test))
    assert rows[0].delay == 0
    assert rows[0].spearman == pytest.approx(1)
    for index, row in enumerate(rows):
        assert row.delay in DELAYS
        assert row.overlap[index] == pytest.approx(1)
        assert math.isfinite(row.onset_faithfulness)


def test_too_few_pairs_at_the_onset_are_refused() -> None:
    """Answers that the model does not give are no decisions of its own."""
    with pytest.raises(ValueError, match=r"0 training and 0 test pairs have a known continuation.*at least 8"):
        time_resolved(subject())


def test_pairs_of_two_passages_go_on_as_the_model_does_on_either_side() -> None:
    model = small_model("gpt2")
    pairs = Pairs(tuple(replace(pair, divergence=None) for pair in random_pairs(12, 6, seed=4)))
    later = delayed(model, pairs, subject().needed("passages"), 2)
    assert set(later.dropped) <= {"answers coincide"}
    assert len(later) + later.dropped.get("answers coincide", 0) == 12
    by = {pair.clean_ids: pair for pair in pairs}
    for pair in later:
        first = by[pair.clean_ids[:6]]
        own, other = (tuple(greedy(model, torch.tensor([ids]), 3)[0].tolist()) for ids in
                      (first.clean_ids, first.corrupt_ids))  # fmt: skip
        assert (pair.clean_ids, pair.answer_ids) == (first.clean_ids + own[:2], (own[2],))
        assert (pair.corrupt_ids, pair.wrong_answer_ids) == (first.corrupt_ids + other[:2], (other[2],))


def test_circuits_of_later_tokens_are_found_by_the_circuits_own_method(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def asked(*_: object, **options: object) -> None:
        raise Asked(options)

    made, test = branch_subject(ablation="zero", reverse=True)
    monkeypatch.setattr("memcirc.verification.time_resolved.attribute", asked)
    with pytest.raises(Asked) as told:
        time_resolved(replace(made, pairs=test, settings=replace(made.settings, fewest_pairs=1)))
    (options,) = told.value.args
    assert (options["method"], options["ablation"], options["reverse"]) == ("eap", "zero", True)


def test_pairs_without_a_later_token_are_counted_by_their_reason() -> None:
    """The truth ends after 12 tokens; a branch decision of a passage that is not at hand has none."""
    made, test = branch_subject()
    text = made.needed("passages")
    other = replace(test[0], doc_id="elsewhere")
    pairs = Pairs((*test.items, other), test.header)
    found = delayed(made.model, pairs, text, 2)
    said = continuations(made.model, test, 3, CORRUPT)
    same = sum(text.truth_after(pair)[2] == tokens[2] for pair, tokens in zip(test, said, strict=True))
    assert found.dropped["its passage is not at hand"] == 1
    assert found.dropped.get("answers coincide", 0) == same
    assert found.header == test.header
    late = delayed(made.model, test, text, 12)
    assert (len(late), late.dropped) == (0, {"passage ends before": len(test)})
    assert delayed(made.model, test, text, 11).dropped.get("passage ends before", 0) == 0


@pytest.mark.parametrize("side", [CLEAN, CORRUPT])
def test_what_the_model_says_behind_every_prompt_is_in_the_pairs_order(side: str) -> None:
    model, pairs = small_model("gpt2"), random_pairs(5, (4, 6, 5))
    found = continuations(model, pairs, 3, side)
    for pair, said in zip(pairs, found, strict=True):
        assert said == tuple(greedy(model, torch.tensor([getattr(pair, f"{side}_ids")]), 3)[0].tolist())


@pytest.mark.parametrize(
    ("clean", "corrupt", "divergence", "expected"),
    [
        ((1, 2, 3), (1, 2, 4), 2, True), ((1, 2, 3), (1, 2, 4), None, False), ((1, 2, 3), (1, 5, 4), 1, False),
        ((1, 2, 3), (1, 2, 3), 2, False), ((1, 2, 3), (1, 5, 3), 1, False),
    ],
)  # fmt: skip
def test_a_branch_decision_differs_in_its_last_token_alone(
    clean: tuple[int, ...], corrupt: tuple[int, ...], divergence: int | None, expected: bool
) -> None:
    assert is_branch(Pair(clean, corrupt, (1,), (2,), divergence=divergence)) == expected


def test_a_moment_measures_the_onsets_circuit_and_its_own_on_its_own_pairs() -> None:
    made, test = branch_subject(n_pairs=30)
    rows = time_resolved(replace(made, pairs=test))
    later = rows[-1]
    assert later.delays == tuple(row.delay for row in rows)
    text = made.needed("passages")
    measured = delayed(made.model, test, text, later.delay)
    seen = delayed(made.model, made.needed("train"), text, later.delay)
    scores = attribute(made.model, seen, "eap")
    runner = circuit_runner(made.model, measured, mode="tree")
    expected = runner.faithfulness([made.circuit, scores.top(len(made.circuit))]).tolist()
    assert [later.onset_faithfulness, later.own_faithfulness] == pytest.approx(expected)
    assert (later.n_train, later.n_pairs, later.n_edges) == (len(seen), len(measured), 30)
    assert later.dropped == measured.dropped
    onset = attribute(made.model, made.needed("train"), "eap")
    sizes = [s.values.abs().argsort().argsort().double() for s in (onset, scores)]
    assert later.spearman == pytest.approx(float(torch.corrcoef(torch.stack(sizes))[0, 1]), abs=1e-6)


def test_a_later_token_needs_as_many_pairs_as_the_settings_say() -> None:
    made, test = branch_subject()
    onset = len(test)
    with pytest.raises(ValueError, match=f"{onset} test pairs have a known continuation.*at least {onset + 1} of each"):
        time_resolved(replace(made, pairs=test, settings=replace(made.settings, fewest_pairs=onset + 1)))
