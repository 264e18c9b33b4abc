"""The subject of a verification: what it was given, and what follows."""

from dataclasses import replace

import pytest
import torch

from memcirc.circuits.runner import circuit_runner
from tests.models import random_pairs
from tests.verification.subjects import passages, subject


def test_what_was_not_given_is_asked_for_by_name() -> None:
    bare = subject(scores=None, train=None, passages=None)
    for name, what in (("scores", "edge scores"), ("train", "train="), ("passages", "passages=")):
        with pytest.raises(ValueError, match=f"needs .*{what}"):
            bare.needed(name)


def test_a_runner_of_each_combination_is_made_once() -> None:
    made = subject(mode="edge")
    first = made.runner("zero", True)
    assert made.runner("zero", True) is first
    assert made.runner("zero", False) is not first
    assert (first.settings.mode, first.settings.ablation, first.settings.reverse) == ("edge", "zero", True)
    assert (made.runner().settings.ablation, made.runner().settings.reverse) == ("resample", False)


def test_means_are_taken_over_the_subjects_reference() -> None:
    made = replace(subject(), reference=random_pairs(5, seed=9))
    found = made.runner("mean-clean").logits([made.circuit])
    expected = circuit_runner(made.model, made.pairs, mode="tree", ablation="mean-clean", reference=made.reference)
    torch.testing.assert_close(found, expected.logits([made.circuit]))
    own = circuit_runner(made.model, made.pairs, mode="tree", ablation="mean-clean").logits([made.circuit])
    assert not torch.allclose(found, own)


def test_runners_of_a_subject_share_one_memory() -> None:
    made = subject()
    before = made.memory.held
    made.runner().logits([made.circuit])
    once = made.memory.held
    made.runner(reverse=True).logits([made.circuit])
    assert before == 0 < once < made.memory.held


def test_what_scores_state_of_their_attribution_goes_before_what_the_circuit_states() -> None:
    made = subject()
    assert made.scores is not None
    circuit = replace(made.circuit, origin={"method": "exact", "seed": 4, "engine": "native", "more": 1})
    scored = replace(made, circuit=circuit, scores=replace(made.scores, origin={"method": "eap", "ablation": "zero"}))
    assert scored.attribution == {"method": "eap", "seed": 4, "ablation": "zero"}
    assert replace(scored, scores=None).attribution == {"method": "exact", "seed": 4}


def test_scores_are_ranked_by_the_circuits_own_rule() -> None:
    made = subject()
    signed = replace(made, circuit=replace(made.circuit, origin={"by": "signed", "selection": "greedy"}))
    assert (signed.ranking.by, signed.ranking.selection) == ("signed", "greedy")
    assert (made.ranking.by, made.ranking.selection) == ("abs", "top")
    assert torch.equal(made.ranking.masks([len(made.circuit)])[0], made.mask)


def test_scores_of_another_graph_are_refused_and_a_function_is_asked_for_what_it_gives() -> None:
    made, other = subject(), subject("attention_only")
    with pytest.raises(ValueError, match=r"scores of a graph of \d+ edges, a model of 262: not the same graph"):
        replace(made, scores=other.scores).needed("scores")
    text = passages()
    assert replace(made, passages=lambda: text).needed("passages") is text


def test_a_combination_is_named_by_its_ablation_and_direction() -> None:
    assert subject().label("zero", False) == "zero, noising"
    assert subject(mode="edge").label("resample", False) == "resample, denoising"


def test_a_subject_with_other_pairs_has_runners_of_its_own() -> None:
    made = subject()
    first = made.runner()
    other = replace(made, pairs=made.pairs[:6])
    assert len(other.runner().pairs) == 6
    assert made.runner() is first
