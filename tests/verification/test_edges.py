"""Edges that carry what was learned: their p-values by hand, and how many pass where nothing was learned."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ttest_ind

from memcirc.report.view import tables_of
from memcirc.twins import beside
from memcirc.verification.edges import WORK, edge_tests, p_values, token_scores
from memcirc.verification.result import Verification
from tests.models import D_VOCAB, small_model
from tests.verification.subjects import passages, records, subject


def made(n_edges: int = 20, n: int = 12):  # type: ignore[no-untyped-def]
    model = beside(small_model("gpt2"), small_model("gpt2", seed=5))
    text = passages(n)
    return subject(model=model, n_edges=n_edges, passages=replace(text, near=text.others))


def test_scores_of_an_edge_are_compared_passage_by_passage() -> None:
    subject_ = made()
    (row,) = edge_tests(subject_)
    text = subject_.passages
    scores = [token_scores(subject_, text.pairs(ids)) for ids in (text.memorized, text.near, text.ordinary)]
    other = np.concatenate(scores[1:])
    expected = [ttest_ind(a, b, equal_var=False).pvalue for a, b in zip(scores[0].T, other.T, strict=True)]
    np.testing.assert_allclose(p_values(scores[0], other), expected, rtol=1e-9)
    assert (row.n_memorized, row.n_other, row.graph_edges, row.n_edges) == (12, 24, len(expected), 20)
    assert row.passing == sum(p <= 0.05 for p in expected)
    assert row.circuit_passing <= min(row.passing, 20)
    assert row.discovered <= row.passing


def test_the_strongest_of_the_discovered_edges_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    subject_ = made()
    n = subject_.graph.n_edges
    memorized, other = np.zeros((4, n)), np.zeros((4, n))
    memorized[:, [3, 7, 9]] = np.arange(4)[:, None] * 1e-3 + [5, -6, 1]
    monkeypatch.setattr("memcirc.verification.edges.SHOWN", 2)
    drawn = iter((memorized, other))
    monkeypatch.setattr("memcirc.verification.edges.token_scores", lambda *_: next(drawn))
    (row,) = edge_tests(subject_)
    edges, mask = subject_.graph.edges, subject_.mask.tolist()
    assert [(e["edge"], e["in_circuit"]) for e in row.strongest] == [(edges[i], mask[i]) for i in (7, 3)]
    assert [round(e["memorized"]) for e in row.strongest] == [-6, 5]
    assert row.discovered == 3
    (table,) = [block for block in tables_of(Verification({}, (row,))) if "strongest" in block.title]
    assert [line["edge"] for line in table.rows] == [edges[7], edges[3], "1 more"]


def test_text_of_one_kind_passes_no_more_than_its_level() -> None:
    """Random passages in both places, drawn many times: the two are alike, whatever the models are."""
    subject_ = made()
    ids = torch.randint(0, D_VOCAB, (240, 9), generator=torch.Generator().manual_seed(1)).numpy()
    scores = token_scores(subject_, passages().pairs(ids))
    order = np.random.default_rng(0)
    shares = []
    for _ in range(40):
        rows = order.permutation(len(scores))
        shares.append((p_values(scores[rows[:24]], scores[rows[24:72]]) <= 0.05).mean())
    assert np.mean(shares) < 0.06


def test_an_edge_that_is_the_same_everywhere_says_nothing() -> None:
    assert p_values(np.ones((3, 2)), np.ones((4, 2))).tolist() == [1, 1]


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="1 memorized and 2 other passages"):
        edge_tests(made(n=1))
    assert records(WORK, subject(n_edges=5)) == []
