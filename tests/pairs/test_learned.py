"""Pairs of a model and its twin: one prompt twice, what the model has learned, what the twin says."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from memcirc.memorization.generation import greedy
from memcirc.memorization.scores import score
from memcirc.models import Model
from memcirc.pairs.learned import REASON
from memcirc.pairs.make import make_pairs
from memcirc.twins import beside
from tests.models import small_model

PROMPT, TOTAL = 6, 12


@pytest.fixture(scope="module")
def model() -> Model:
    return beside(small_model("gpt_neo", dtype="float32"), small_model("gpt_neo", dtype="float32", seed=4))


@pytest.fixture(scope="module")
def table(model: Model) -> pa.Table:
    """Passages in the model's own words, in its twin's, and random ones."""
    rows = np.random.default_rng(3).integers(0, model.d_vocab, (60, TOTAL))
    for some, speaker in ((slice(0, 20), model), (slice(20, 40), model.twin)):
        rows[some, PROMPT:] = greedy(speaker, torch.from_numpy(rows[some, :PROMPT]), TOTAL - PROMPT)
    scored = score(model, rows, PROMPT, TOTAL - PROMPT)
    return scored.append_column("doc_id", pa.array([f"doc{i}" for i in range(len(rows))]))


def logprob(model: Model, prompt: tuple[int, ...], answer: tuple[int, ...]) -> float:
    ids = [*prompt, *answer]
    logits = model.logits([ids])[0].log_softmax(-1)
    return sum(float(logits[i - 1, ids[i]]) for i in range(len(prompt), len(ids))) / len(answer)


def test_a_learned_passage_is_one_prompt_twice_with_its_whole_completion(model: Model, table: pa.Table) -> None:
    pairs = make_pairs(model, table, mode="learned", threshold=0.9, lift=0.0)
    assert {pair.doc_id for pair in pairs} <= {f"doc{i}" for i in range(20)}
    assert len(pairs) > 5
    for pair in pairs:
        tokens = tuple(table["tokens"][int(pair.doc_id.removeprefix("doc"))].as_py())
        assert pair.clean_ids == pair.corrupt_ids == tokens[:PROMPT]
        assert pair.answer_sequence_ids == tokens[PROMPT:]
        assert pair.answer_sequence == model.decode(tokens[PROMPT:])
        ours, theirs = (logprob(m, pair.clean_ids, pair.answer_sequence_ids) for m in (model, model.twin))
        assert pair.lift == pytest.approx(ours - theirs, abs=1e-4)
        said = model.twin.logits([pair.clean_ids])[0, -1].argsort(descending=True).tolist()
        assert pair.wrong_answer_ids == (said[said[0] == pair.answer_ids[0]],)
    assert pairs.header["twin_fingerprint"] == model.twin.fingerprint


def test_every_recited_passage_is_a_pair_or_counted(model: Model, table: pa.Table) -> None:
    recited = int((table["bleu4"].to_numpy() >= 0.9).sum())
    lifts = sorted(pair.lift for pair in make_pairs(model, table, mode="learned", threshold=0.9, lift=0.0))
    for lift in (0.0, lifts[len(lifts) // 2]):
        pairs = make_pairs(model, table, mode="learned", threshold=0.9, lift=lift)
        assert len(pairs) + sum(pairs.dropped.values()) == recited
        assert all(pair.lift >= lift for pair in pairs)
    assert pairs.dropped[REASON] > 0


def test_tokens_that_the_twin_does_not_know_are_a_pair_each(model: Model, table: pa.Table) -> None:
    pairs = make_pairs(model, table, mode="learned", threshold=0.9, answer="tokens", lift=0.3)
    lifts = dict(zip(table["doc_id"].to_pylist(), table["token_lifts"].to_pylist(), strict=True))
    wanted = {(doc, step) for doc in {p.doc_id for p in pairs} for step, x in enumerate(lifts[doc]) if x >= 0.3}
    assert {(pair.doc_id, len(pair) - PROMPT) for pair in pairs} == wanted
    for pair in pairs:
        assert len(pair.answer_sequence_ids) == 1
        assert pair.lift == pytest.approx(lifts[pair.doc_id][len(pair) - PROMPT], abs=1e-4)


def test_pairs_of_a_document_stay_in_one_split(model: Model, table: pa.Table) -> None:
    parts = make_pairs(model, table, mode="learned", threshold=0.9, answer="tokens", lift=0.1).split()
    documents = [{pair.doc_id for pair in part} for part in parts]
    assert not documents[0] & documents[1]
    assert not (documents[0] | documents[1]) & documents[2]


def test_what_cannot_be_about_a_twin_is_refused(model: Model, table: pa.Table) -> None:
    with pytest.raises(ValueError, match="mode 'learned' is about a model and its twin"):
        make_pairs(model.with_twin(None), table, mode="learned", threshold=0.9)
    with pytest.raises(ValueError, match="the passages were scored without a twin"):
        make_pairs(model, table.drop_columns(["twin_bleu4"]), mode="learned", threshold=0.9)
    common = table.set_column(table.column_names.index("twin_bleu4"), "twin_bleu4", table["bleu4"])
    with pytest.raises(ValueError, match=r"nothing was learned: of .* the twin's lowest score is"):
        make_pairs(model, common, mode="learned", threshold=0.9)
