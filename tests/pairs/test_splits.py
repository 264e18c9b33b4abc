import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.pairs.record import Pair, Pairs


def pair(doc: int, other: int, context: int) -> Pair:
    """A pair of two documents whose prompts share a context of one token."""
    unique = 1000 + 10 * doc
    return Pair(
        (context, unique), (context, unique + 1), (1,), (2,), doc_id=f"d{doc}", corrupt_doc_id=f"u{other}", divergence=1
    )


sets = st.lists(
    st.builds(pair, st.integers(0, 12), st.integers(0, 12), st.integers(0, 12)), min_size=4, max_size=30
).map(lambda items: Pairs(tuple(items)))


@given(sets, st.integers(0, 3))
def test_no_two_splits_share_a_document_a_prompt_or_a_context(pairs: Pairs, seed: int) -> None:
    if len(pairs.components()) < 3:
        return
    parts = pairs.split(seed=seed)
    assert sorted(map(repr, (p for part in parts for p in part))) == sorted(map(repr, pairs))
    for read in (
        lambda p: {p.doc_id, p.corrupt_doc_id},
        lambda p: {p.clean_ids, p.corrupt_ids},
        lambda p: {p.clean_ids[: p.divergence]},
    ):
        seen = [set().union(*(read(p) for p in part)) for part in parts]
        assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


def test_unrelated_pairs_fall_into_shares_and_the_header_names_them() -> None:
    pairs = Pairs(tuple(pair(i, i, i) for i in range(40)))
    train, validation, test = pairs.split()
    assert (len(train), len(validation), len(test)) == (20, 10, 10)
    assert [part.header["split"] for part in (train, validation, test)] == ["train", "validation", "test"]


def test_the_seed_decides_and_nothing_else() -> None:
    pairs = Pairs(tuple(pair(i, i, i) for i in range(20)))
    assert pairs.split(seed=1) == pairs.split(seed=1) != pairs.split(seed=2)


def test_siblings_stay_together() -> None:
    """One's clean prompt is the other's corrupt one, and both share the context."""
    a = Pair((7, 1), (7, 2), (3,), (4,), doc_id="a", divergence=1)
    b = Pair((7, 2), (7, 1), (4,), (3,), doc_id="b", divergence=1)
    assert Pairs((a, b)).components() == [[0, 1]]


def test_documents_of_one_family_stay_together() -> None:
    a = Pair((7, 1), (7, 2), (3,), (4,), doc_id="a", family="f", divergence=1)
    b = Pair((8, 2), (8, 1), (4,), (3,), doc_id="b", family="f", divergence=1)
    assert Pairs((a, b)).components() == [[0, 1]]


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="4 pairs form 1 unrelated group"):
        Pairs(tuple(pair(i, 0, i) for i in range(4))).split()


def test_fractions_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="three positive numbers of sum 1"):
        Pairs(tuple(pair(i, i, i) for i in range(9))).split((0.5, 0.5, 0.5))
