"""The bootstrap over documents: coverage on simulated data, groups that stay together, refusals."""

import numpy as np
import pytest
import torch

from memcirc.pairs.record import Pair, Pairs
from memcirc.statistics import percentile_interval, resample_counts, resampled_ratios
from memcirc.verification.resampling import faithfulness_interval


def pairs_of(documents: list[str]) -> Pairs:
    """One pair a name; equal names are one document."""
    items = [Pair((i + 1, 0), (i + 1, 1), (2,), (3,), doc_id=doc) for i, doc in enumerate(documents)]
    return Pairs(tuple(items))


def test_pairs_of_one_document_are_drawn_together() -> None:
    counts = resample_counts(pairs_of(["a", "a", "b", "c", "d", "e"]).components(), 200, 0)
    assert (counts[:, 0] == counts[:, 1]).all()
    assert {int(n) for n in counts[:, [1, 2, 3, 4, 5]].sum(1)} == {5}
    assert (
        resample_counts(pairs_of(list("abcde")).components(), 1, 0).tolist()
        == resample_counts(pairs_of(list("abcde")).components(), 1, 0).tolist()
    )


def test_intervals_of_the_ratio_of_means_cover_it_as_often_as_they_say() -> None:
    """40 documents of two dependent pairs; everything ~ N(10, 2), the circuit keeps .8 of it plus noise. The ratio of
    means is .8; percentile intervals of 40 clusters cover it a little below 95 %."""
    generator, data = np.random.default_rng(0), pairs_of([str(i // 2) for i in range(80)])
    runs, covered = 250, 0
    for seed in range(runs):
        document = np.repeat(generator.normal(size=(2, 40)), 2, axis=1)
        everything = 10 + 2 * document[0]
        values = 0.8 * everything + document[1] + 0.3 * generator.normal(size=80)
        ends = torch.from_numpy(np.stack([np.zeros(80), everything]))
        found = faithfulness_interval(data, torch.from_numpy(values), ends, seed, 400)
        covered += found.low <= 0.8 <= found.high
        assert (found.n_groups, found.level) == (40, 0.95)
    assert 0.90 <= covered / runs <= 0.985


def test_drawing_pairs_alone_would_claim_too_much() -> None:
    """The same pairs taken as documents of their own give a narrower interval: the negative control of grouping."""
    values = torch.from_numpy(np.repeat(np.random.default_rng(1).normal(size=40), 4))
    ends = torch.stack([torch.zeros(160), torch.ones(160)])
    together = faithfulness_interval(pairs_of([str(i // 4) for i in range(160)]), values, ends, 0)
    apart = faithfulness_interval(pairs_of([str(i) for i in range(160)]), values, ends, 0)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_ratios_are_those_of_the_resampled_means() -> None:
    counts = np.array([[1.0, 1.0], [2.0, 0.0]])
    found = resampled_ratios(counts, np.array([[1.0, 3.0], [2.0, 6.0]]), np.zeros(2), np.array([2.0, 6.0]))
    assert found.tolist() == [[0.5, 1.0], [0.5, 1.0]]


def test_resamples_whose_ends_coincide_have_no_ratio() -> None:
    counts = np.array([[1.0, 1.0], [2.0, 0.0]])
    found = resampled_ratios(counts, np.array([1.0, 1.0]), np.array([0.0, 0.0]), np.array([1.0, -1.0]))
    assert np.isnan(found[0])
    with pytest.raises(ValueError, match="1 of 2 resamples have no faithfulness"):
        percentile_interval(found, 2)


def test_too_few_documents_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"6 pairs form 3 unrelated groups of documents.*at least 5"):
        resample_counts(pairs_of(["a", "a", "b", "b", "c", "c"]).components(), 10, 0)
