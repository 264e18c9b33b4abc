"""Specificity: losses of four kinds of text with the circuit knocked out."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.interventions import Way
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.generation import generation
from memcirc.verification.specificity import (
    WAY,
    Text,
    _copying_circuit,
    _row,
    added_interval,
    losses,
    repeated,
    specificity,
)
from memcirc.verification.subject import Settings, Subject
from tests.models import small_model
from tests.verification.copying import copying_model
from tests.verification.copying import passages as copied_text
from tests.verification.subjects import passages, subject


def test_loss_under_all_edges_is_the_models_own() -> None:
    model, text = small_model("gpt2"), passages()
    pairs = text.pairs(text.memorized)
    every = torch.ones(1, subject(model=model).graph.n_edges, dtype=torch.bool)
    found = losses(model, pairs, every, WAY, text.pairs(text.ordinary))[0]
    ids = torch.from_numpy(text.memorized)
    logprobs = model.logits(ids[:, :-1]).log_softmax(-1)
    said = logprobs.gather(-1, ids[:, 1:, None])[:, text.prompt_tokens - 1 :, 0]
    assert torch.from_numpy(found).allclose(-said.mean(1).double())


def test_specificity_knocks_the_circuit_out_of_every_kind_of_text() -> None:
    made = subject(n_edges=60, passages=passages(10))
    rows = specificity(made)
    assert [row.text for row in rows] == ["memorized", "not memorized", "ordinary", "repeated random tokens"]
    for row in rows:
        assert row.rise == pytest.approx(row.knocked_out - row.intact)
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.rise <= row.high
        assert row.copying_rise is None
        assert 0 <= row.shared_with_ordinary <= 1
    assert "does not copy" in rows[-1].note


def test_passages_of_too_few_documents_have_noadded_interval() -> None:
    """Ten passages, two documents: what is drawn anew are documents, of which two are too few."""
    text = passages(10)
    named = replace(text, doc_ids=tuple(f"document-{i % 2}" for i in range(10)))
    memorized, other, *_ = specificity(subject(passages=named))
    assert (memorized.low, memorized.high) == (None, None)
    assert other.low is not None


def test_circuits_for_other_text_are_not_found_on_what_they_are_measured_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import memcirc.verification.specificity as module

    found: list[Pair] = []
    measured: list[Pair] = []
    real_attribute, real_losses = module.attribute, module.losses

    def spied_attribute(model: object, pairs: Pairs, **options: object) -> object:
        found.extend(pairs)
        return real_attribute(model, pairs, **options)  # type: ignore[arg-type]

    def spied_losses(
        model: object, pairs: Pairs, kept: torch.Tensor, way: Way, reference: Pairs, engine: str
    ) -> object:
        measured.extend(pairs)
        found.extend(reference)
        return real_losses(model, pairs, kept, way, reference, engine)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "attribute", spied_attribute)
    monkeypatch.setattr(module, "losses", spied_losses)
    rows = specificity(subject(n_edges=60, settings={"copying_gain": -100.0}))
    assert all(row.copying_rise is not None for row in rows)
    assert {row.text: row.n_passages for row in rows}["repeated random tokens"] == module.N_REPEATED

    def begins(pairs: list[Pair]) -> set[tuple[int, ...]]:
        return {pair.clean_ids[:4] for pair in pairs}

    assert found
    assert not begins(found) & begins(measured)


def test_one_ordinary_passage_cannot_be_halved() -> None:
    text = passages()
    with pytest.raises(ValueError, match="1 ordinary passages; 2 are needed"):
        specificity(subject(passages=replace(text, ordinary=text.ordinary[:1])))


def test_checks_in_edge_mode_say_that_text_is_run_in_tree_mode() -> None:
    made = subject(mode="edge")
    for rows in (specificity(made), generation(made, "model")):
        assert {(row.mode, row.run_mode) for row in rows} == {("edge", "tree")}


def test_repeated_tokens_are_said_twice() -> None:
    model = small_model("gpt2")
    for pair in repeated(model, passages(), seed=0, n_pairs=3):
        half = len(pair.clean_ids) - 1
        assert (*pair.clean_ids[:half], *pair.clean_ids, *pair.answer_sequence_ids)[half:] == pair.clean_ids[
            :half
        ] + pair.clean_ids[:1] + pair.answer_sequence_ids
        assert pair.answer_sequence_ids == pair.clean_ids[1:half]


def test_a_row_takes_its_numbers_from_the_losses_of_its_circuits() -> None:
    """Losses of two passages: intact, knocked out, only the circuit, nothing, without the circuit for ordinary text,
    eight random ones, and without the copying circuit."""
    random = [[1.0 + i, 1.0] for i in range(8)]
    losses = np.array([[1.0, 2], [4, 3], [5, 7], [9, 9], [1.5, 3.5], *random, [2.0, 4]])
    row = _row(subject(), Text("memorized", Pairs(()), note="told"), losses, 0.25, copies=True)
    assert (row.intact, row.knocked_out, row.rise) == (1.5, 3.5, 2)
    assert (row.only_circuit, row.nothing) == (6, 9)
    assert (row.ordinary_rise, row.copying_rise) == (1, 1.5)
    rises = [(1 + i + 1) / 2 - 1.5 for i in range(8)]
    assert row.random_rise == pytest.approx(np.mean(rises))
    assert row.random_q95 == pytest.approx(np.quantile(rises, 0.95))
    assert (row.n_random, row.n_passages, row.n_edges, row.shared_with_ordinary) == (8, 2, 30, 0.25)
    assert (row.text, row.note, row.mode, row.low) == ("memorized", "told", "tree", None)
    assert _row(subject(), Text("memorized", Pairs(())), losses, 0.25, copies=False).copying_rise is None


def test_the_rises_interval_is_over_documents() -> None:
    """Six documents, each of two passages that rise alike: no narrower than over six passages."""
    rise = np.repeat(np.arange(6.0), 2)
    made = subject(settings={"n_resamples": 400})
    low, high = added_interval(made, Text("memorized", Pairs(()), [f"d{i // 2}" for i in range(12)]), rise)
    few_low, few_high = added_interval(made, Text("memorized", Pairs(())), np.arange(6.0))
    assert (low, high) == (few_low, few_high)
    assert low is not None
    assert high is not None
    assert low < 2.5 < high


@pytest.mark.parametrize("n_pairs", [1, 24])
def test_repeated_tokens_are_as_long_as_a_passage_and_differ_only_in_what_is_repeated(n_pairs: int) -> None:
    text = passages(length=9)
    found = repeated(small_model("gpt2"), text, 0, n_pairs)
    assert len(found) == n_pairs
    for pair in found:
        assert len(pair.clean_ids) == 9 // 2 + 1
        assert pair.clean_ids[-1] == pair.corrupt_ids[-1] == pair.clean_ids[0]
        assert pair.clean_ids[:-1] != pair.corrupt_ids[:-1]
        assert (pair.answer_ids, pair.wrong_answer_ids) == ((pair.clean_ids[1],), (pair.corrupt_ids[1],))
    assert len(repeated(small_model("gpt2"), text, 0)) == 24
    assert repeated(small_model("gpt2"), text, 1, n_pairs).items != found.items


def test_whether_a_model_copies_is_read_from_the_loss_of_what_is_said_again() -> None:
    """The losses of the first half's and of the second half's tokens, position by position."""
    made = subject(settings={"copying_gain": 100.0})
    pairs = repeated(made.model, passages(length=12), 0, 8)
    mask, note = _copying_circuit(made, pairs)
    new, again = [], []
    for pair in pairs:
        ids = torch.tensor([pair.clean_ids + pair.answer_sequence_ids])
        logprobs = made.model.logits(ids)[0].log_softmax(-1)
        half = len(pair.clean_ids) - 1
        new += [-float(logprobs[i, ids[0, i + 1]]) for i in range(half - 1)]
        again += [-float(logprobs[i, ids[0, i + 1]]) for i in range(half, ids.shape[1] - 1)]
    assert mask is None
    assert f"loss of random tokens {np.mean(new):.2f} when new, {np.mean(again):.2f} when repeated" in note
    assert "a copying circuit is sought from a gain of 100 nat on" in note


def test_the_copying_circuit_is_found_at_every_token_that_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Pair] = []

    def spied(subject: object, pairs: Pairs, objective: str) -> torch.Tensor:
        seen.extend(pairs)
        assert objective == "logit_diff"
        return torch.ones(3, dtype=torch.bool)

    monkeypatch.setattr("memcirc.verification.specificity._circuit_of", spied)
    made = subject(settings={"copying_gain": -100.0})
    pairs = repeated(made.model, passages(length=12), 0, 20)
    mask, note = _copying_circuit(made, pairs)
    assert mask is not None
    assert note.startswith("loss of random tokens")
    assert len(seen) == 20
    half = len(pairs[0].clean_ids) - 1
    steps = [len(pair.clean_ids) - half - 1 for pair in seen]
    assert steps[:8] == torch.linspace(0, half - 2, 8).long().tolist()
    assert steps[8:16] == steps[:8]
    for pair, whole, t in zip(seen, pairs, steps, strict=True):
        assert pair.clean_ids == whole.clean_ids + whole.answer_sequence_ids[:t]
        assert pair.corrupt_ids == whole.corrupt_ids + whole.answer_sequence_ids[:t]
        assert pair.answer_ids == (whole.answer_sequence_ids[t],)
        assert pair.wrong_answer_ids == ((pair.answer_ids[0] + 1) % 31,)


def copied(n_edges: int, settings: Settings) -> Subject:
    """A circuit of the passages that the copying model knows by heart."""
    model, text = copying_model(), copied_text()
    pairs = text.pairs(text.memorized)
    scores = attribute(model, pairs, "eap", objective="sequence_logprob")
    return Subject(
        model, pairs, circuit=scores.top(n_edges), mode="tree", settings=settings, scores=scores, passages=text
    )


def test_in_a_model_that_copies_the_circuit_for_copying_is_found_and_copying_needs_it() -> None:
    """Trained on repeats and on a few passages. Whether both share their edges is the model's affair: they do here."""
    rows = specificity(copied(15, Settings()))
    copying = rows[-1]
    assert copying.text == "repeated random tokens"
    new, repeated_ = (float(word) for word in re.findall(r"\d+\.\d+", copying.note))
    assert new - repeated_ > 3
    assert copying.intact < 0.5
    assert copying.copying_rise is not None
    assert copying.copying_rise > 3
    assert copying.copying_rise > copying.random_q95
    assert all(row.copying_rise is not None for row in rows)


def test_a_gain_below_the_threshold_is_no_copying() -> None:
    """With a threshold that no gain reaches there is no circuit for copying, and the line says why."""
    rows = specificity(copied(5, Settings(copying_gain=50.0)))
    assert rows[-1].copying_rise is None
    assert "does not copy" in rows[-1].note
