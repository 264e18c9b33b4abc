"""Circuits of parts of the pairs: which parts there are, and their overlaps and sizes by hand."""

from dataclasses import replace

import pytest

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores
from memcirc.pairs.record import Pairs
from memcirc.verification.groups import Group, groups
from memcirc.verification.subject import Subject
from tests.verification.subjects import subject


def parted(n_edges: int = 30, **settings: int) -> Subject:
    """Training pairs of 1 and 2 copies in two subsets."""
    made = subject(n_edges=n_edges, settings={"fewest_pairs": 2, **settings})
    told = [{"copies": 1 + i % 2, "subset": "ab"[i // 4]} for i in range(len(made.train))]
    train = Pairs(tuple(replace(p, **new) for p, new in zip(made.train, told, strict=True)), made.train.header)
    return replace(made, train=train)


def test_pairs_are_parted_by_copies_by_subset_and_in_halves() -> None:
    rows = groups(parted())
    assert [(row.by, row.part, row.n_train) for row in rows] == [
        ("copies", "1", 4), ("copies", "2", 4), ("subset", "a", 4), ("subset", "b", 4),
        ("half of the documents", "first", 4), ("half of the documents", "second", 4),
    ]  # fmt: skip
    copies = [pair.copies for pair in parted().pairs]
    assert [row.n_pairs for row in rows] == [copies.count(1), copies.count(2), 0, 0, len(copies), len(copies)]


def test_parts_stand_in_the_order_of_their_numbers() -> None:
    made = parted()
    counts = (2, 10, 1)
    train = Pairs(tuple(replace(p, copies=counts[i % 3]) for i, p in enumerate(made.train)), made.train.header)
    assert [row.part for row in groups(replace(made, train=train)) if row.by == "copies"] == ["1", "2", "10"]


def test_overlaps_are_those_of_circuits_found_on_the_parts() -> None:
    made = parted()
    per_pair = attribute(made.model, made.train, "eap", per_example=True).per_example
    tops = [set(EdgeScores(made.graph, per_pair[i::2].mean(0)).top(30).edges) for i in (0, 1)]
    found = [row for row in groups(made) if row.by == "copies"]
    for row, own in zip(found, tops, strict=True):
        assert row.overlap == pytest.approx(len(own & made.circuit.edges) / len(own | made.circuit.edges))
        assert row.overlap_others == pytest.approx(len(tops[0] & tops[1]) / len(tops[0] | tops[1]))


def test_what_the_circuit_keeps_on_a_part_is_normalised_by_its_own_ends() -> None:
    made = parted()
    row = next(row for row in groups(made) if (row.by, row.part) == ("copies", "2"))
    part = made.pairs.where(copies=2)
    alone = replace(made, pairs=part)
    ends = alone.runner().ends(made.settings.metric)
    assert (row.nothing, row.everything) == pytest.approx((ends.nothing, ends.everything))
    assert row.faithfulness == pytest.approx(float(alone.runner().faithfulness([made.circuit])[0]), rel=1e-9)
    everything = next(r for r in groups(parted(made.graph.n_edges)) if (r.by, r.part) == ("copies", "2"))
    assert everything.faithfulness == pytest.approx(1)
    assert everything.overlap == everything.overlap_others == everything.by_chance == 1


def test_a_part_without_test_pairs_has_no_size_there() -> None:
    rows: list[Group] = groups(parted())
    assert all(row.smallest is row.faithfulness is row.nothing is None for row in rows if row.n_pairs == 0)


def test_pairs_that_cannot_be_parted_are_refused() -> None:
    with pytest.raises(ValueError, match="8 training pairs have no two parts of at least 9"):
        groups(parted(fewest_pairs=9))
    with pytest.raises(ValueError, match="a circuit of 0 edges has no parts"):
        groups(parted(0))
