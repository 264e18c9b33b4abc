"""Passages: which are chosen, of which documents."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memcirc.pairs.record import Pair
from memcirc.twins import beside
from memcirc.verification.passages import Choice, passages_from, passages_of
from memcirc.verification.verify import verify
from tests.models import D_VOCAB, small_model
from tests.verification.subjects import passages, subject


def table(scores: list[float]) -> pa.Table:
    n = len(scores)
    tokens = np.random.default_rng(0).integers(0, D_VOCAB, (n, 8)).tolist()
    return pa.table({"tokens": tokens, "memorization_score": scores, "doc_id": [f"d{i}" for i in range(n)],
                     "copies": list(range(n))})  # fmt: skip


def test_passages_are_chosen_by_score_and_document() -> None:
    chosen = passages_of(table([1.0, 1.0, 0.0, 0.1, 0.2, 0.3]), 4, "d1", n_passages=2)
    assert (chosen.doc_ids, chosen.copies.tolist()) == (("d1",), [1])
    assert len(chosen.others) == len(chosen.ordinary) == 2
    taken = {tuple(row) for row in chosen.others.tolist()} & {tuple(row) for row in chosen.ordinary.tolist()}
    assert not taken
    assert set(chosen.windows) == {"d0", "d1"}


def test_passages_from_a_file_are_those_of_the_whole_table(tmp_path: Path) -> None:
    scores = np.random.default_rng(3).permutation(np.repeat([0.0, 0.2, 1.0], 10)).tolist()
    whole = table(scores)
    pq.write_table(whole, tmp_path / "scores.parquet", row_group_size=4)
    documents = {f"d{i}" for i in range(20)}
    found = passages_from(tmp_path / "scores.parquet", Choice(4, documents, 6))
    expected = passages_of(whole, 4, documents, n_passages=6)
    for name in ("memorized", "others", "ordinary", "copies"):
        assert (getattr(found, name) == getattr(expected, name)).all()
    assert (found.doc_ids, found.windows) == (expected.doc_ids, expected.windows)


def test_passages_that_cannot_be_had_refuse_their_checks_alone() -> None:
    made = subject(passages=lambda: passages_of(table([1.0, 0.0, 0.0]), 4, {"d7"}))
    result = verify(
        made.model, made.pairs, made.circuit, mode="tree", checks=("specificity", "dose"), passages=made.passages
    )
    assert result.refused == (
        "tree, specificity: 0 memorized passages of the wanted documents and 2 others; 1 and 2 are needed",
    )
    assert result.dose


@pytest.mark.filterwarnings("ignore:.*residual streams")
def test_passages_that_were_chosen_without_the_twin_of_a_model_are_refused() -> None:
    given = passages_of(table([1.0, 1.0, *[0.0] * 6]), 4)
    made = subject(model=beside(small_model("gpt2"), small_model("gpt2", seed=5)))
    with pytest.raises(ValueError, match=r"passages of a table without columns twin_.*, and model .* has a twin"):
        verify(made.model, made.pairs, made.circuit, mode="tree", passages=given)
    later = verify(made.model, made.pairs, made.circuit, mode="tree", checks="removal", passages=lambda: given)
    assert "without columns twin_" in later.refused[0]
    alone = made.model.with_twin(None)
    assert verify(alone, made.pairs, made.circuit, mode="tree", checks="specificity", passages=given).specificity


def test_too_few_passages_are_refused_with_their_numbers() -> None:
    with pytest.raises(ValueError, match="0 memorized passages of the wanted documents and 2 others"):
        passages_of(table([1.0, 0.0, 0.0]), 4, {"d7"})


def rows_of(whole: pa.Table, ids: np.ndarray) -> list[int]:
    """Which rows of a table passages are."""
    every = [tuple(row) for row in whole["tokens"].to_pylist()]
    return [every.index(tuple(row)) for row in ids.tolist()]


def test_a_passage_is_memorized_from_the_threshold_on_and_the_others_are_the_least_memorized() -> None:
    whole = table([0.5, 0.49, 0.3, 0.9, 0.1, 0.2])
    chosen = passages_of(whole, 4, threshold=0.5, n_passages=2)
    assert rows_of(whole, chosen.memorized) == [0, 3]
    assert rows_of(whole, chosen.others) == [4, 5]
    assert sorted(rows_of(whole, chosen.ordinary)) == [1, 2]
    assert (chosen.copies.tolist(), chosen.doc_ids, chosen.prompt_tokens) == ([0, 3], ("d0", "d3"), 4)


@pytest.mark.parametrize(("n_passages", "sizes"), [(1, (1, 1, 1)), (3, (3, 2, 3)), (9, (4, 2, 3))])
def test_no_more_passages_are_taken_than_are_wanted_and_half_of_the_rest_are_others(
    n_passages: int, sizes: tuple[int, int, int]
) -> None:
    chosen = passages_of(table([1.0] * 4 + [0.0] * 5), 4, n_passages=n_passages)
    assert (len(chosen.memorized), len(chosen.others), len(chosen.ordinary)) == sizes


def test_passages_follow_their_seed_and_ordinary_text_is_a_draw() -> None:
    whole = table([1.0] * 20 + [0.1 * (i % 7) for i in range(40)])
    first, again, other = (passages_of(whole, 4, n_passages=8, seed=seed) for seed in (0, 0, 1))
    assert (first.memorized == again.memorized).all()
    assert (first.ordinary == again.ordinary).all()
    assert rows_of(whole, first.memorized) != rows_of(whole, other.memorized)
    assert rows_of(whole, first.memorized) == sorted(rows_of(whole, first.memorized))
    lowest = np.argsort([0.1 * (i % 7) for i in range(40)], kind="stable")[:8] + 20
    assert rows_of(whole, first.others) == lowest.tolist()
    assert not set(rows_of(whole, first.ordinary)) & set(lowest.tolist())


def test_copies_that_are_not_known_are_minus_one_and_unnamed_documents_are_their_rows() -> None:
    bare = table([1.0, 1.0, 0.0, 0.0]).drop_columns(["doc_id", "copies"])
    chosen = passages_of(bare, 4)
    assert (chosen.copies.tolist(), chosen.doc_ids) == ([-1, -1], ("0", "1"))
    half = table([1.0, 1.0, 0.0, 0.0]).set_column(3, "copies", pa.array([None, 7, None, None], pa.int64()))
    assert passages_of(half, 4).copies.tolist() == [-1, 7]


def test_windows_are_those_of_every_recited_passage_also_of_documents_that_are_not_wanted() -> None:
    whole = table([1.0, 1.0, 0.0, 0.1])
    chosen = passages_of(whole, 4, ["d1"])
    tokens = [tuple(row) for row in whole["tokens"].to_pylist()]
    assert chosen.windows == {"d0": [tokens[0]], "d1": [tokens[1]]}


def test_the_truth_after_a_pair_is_how_its_document_goes_on() -> None:
    chosen = passages_of(table([1.0, 1.0, 0.0, 0.1]), 4)
    (window,) = chosen.windows["d1"]
    pair = Pair(window[:3], (*window[:2], (window[2] + 1) % D_VOCAB), (1,), (2,), doc_id="d1")
    assert chosen.truth_after(pair) == window[3:]
    assert chosen.truth_after(replace(pair, doc_id="d0")) is None
    assert chosen.truth_after(replace(pair, doc_id="unknown")) is None
    assert chosen.truth_after(replace(pair, clean_ids=pair.corrupt_ids, corrupt_ids=pair.clean_ids)) is None


def test_pairs_of_passages_have_their_completion_for_an_answer_and_others_for_a_corrupt_prompt() -> None:
    text = passages(3)
    for pairs, source in (
        (text.pairs(text.memorized), text.others),
        (text.pairs(text.memorized, text.ordinary[:2]), text.ordinary[:2]),
    ):
        assert len(pairs) == 3
        for i, (pair, row) in enumerate(zip(pairs, text.memorized.tolist(), strict=True)):
            other = source[i % len(source)].tolist()
            assert (pair.clean_ids, pair.corrupt_ids) == (tuple(row[:4]), tuple(other[:4]))
            assert (pair.answer_ids, pair.wrong_answer_ids) == ((row[4],), (other[4],))
            assert pair.answer_sequence_ids == tuple(row[4:])


@pytest.mark.parametrize("scores", [[0.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
def test_one_memorized_passage_and_two_others_are_needed(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="others; 1 and 2 are needed"):
        passages_of(table(scores), 4)
    assert len(passages_of(table([1.0, 0.0, 0.0]), 4).ordinary) == 1


def test_a_file_without_the_wanted_score_is_refused_with_what_to_do(tmp_path: Path) -> None:
    pq.write_table(table([1.0, 0.0, 0.0]), tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match=r"no column 'bleu4' in .*scores.parquet: score with --level full"):
        passages_from(tmp_path / "scores.parquet", Choice(4, (), column="bleu4"))


def test_an_option_that_there_is_not_is_refused() -> None:
    with pytest.raises(TypeError, match="passages_of"):
        passages_of(table([1.0, 0.0, 0.0]), 4, passages=3)  # type: ignore[call-arg]
