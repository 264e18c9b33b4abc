"""Blocked neighbours against the whole matrix and a loop over it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.models import Model
from memcirc.pairs import similarity as module
from memcirc.pairs.similarity import Block, most_similar, most_similar_unused, similarity
from tests.models import small_model

ALL = np.arange(3)


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model("gpt2", dtype="float32")


def test_jaccard_is_the_overlap_of_token_sets(model: Model) -> None:
    left, right = np.array([[1, 2, 2]]), np.array([[2, 3, 4], [1, 2, 1], [5, 6, 7]])
    np.testing.assert_allclose(similarity(model, left, right, "jaccard")(ALL[:1], ALL), [[1 / 4, 1, 0]])


def test_embeddings_are_alike_to_themselves(model: Model) -> None:
    passages = np.array([[1, 2, 3], [4, 5, 6]])
    alike = similarity(model, passages, passages, "embedding")(ALL[:2], ALL[:2])
    np.testing.assert_allclose(np.diag(alike), [1, 1], atol=1e-6)
    bare = Model(model.name, model.hooked, None)
    np.testing.assert_allclose(similarity(bare, passages, passages, "embedding")(ALL[:2], ALL[:2]), alike, atol=1e-5)


def test_an_unknown_kind_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="accepted: embedding, jaccard"):
        similarity(model, np.ones((1, 2), np.int64), np.ones((1, 2), np.int64), "cosine")


def block_of(matrix: np.ndarray) -> Block:
    return lambda rows, columns: matrix[np.ix_(rows, columns)]


def literal(matrix: np.ndarray) -> list[tuple[int, float] | None]:
    """Row by row the best column that is free, the earlier of equal ones."""
    free, found = np.ones(matrix.shape[1], dtype=bool), []
    for row in matrix:
        if not free.any():
            found.append(None)
            continue
        best = int(np.argmax(np.where(free, row, -np.inf)))
        free[best] = False
        found.append((best, float(row[best])))
    return found


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
def test_unused_neighbours_are_those_of_the_loop(seed: int, rows: int, columns: int, block: int, kept: int) -> None:
    rng = np.random.default_rng(seed)
    # distinct values, and a column that everyone wants most
    matrix = rng.permutation(rows * columns).reshape(rows, columns).astype(np.float32)
    matrix[:, 0] += rows * columns
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        patch.setattr(module, "NEIGHBOURS", kept)
        assert list(most_similar_unused(block_of(matrix), rows, columns)) == literal(matrix)


def test_of_equal_columns_the_earlier_is_taken() -> None:
    matrix = np.ones((3, 4), np.float32)
    assert [found and found[0] for found in most_similar_unused(block_of(matrix), 3, 4)] == [0, 1, 2]


def test_the_most_similar_of_some_columns() -> None:
    matrix = np.array([[0.1, 0.9, 0.5], [0.7, 0.2, 0.7]], np.float32)
    best, value = most_similar(block_of(matrix), np.array([0, 1]), np.array([0, 2]))
    assert best.tolist() == [2, 0]
    np.testing.assert_allclose(value, [0.5, 0.7])
