"""Runs of planned circuits: stretches of heads, columns at rest, and circuits against the decoder of single edges."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memcirc.decoder.weights import Projection
from memcirc.engine import circuits as circuits_module
from memcirc.engine import prepared as prepared_module
from memcirc.engine.circuits import Columns, _runs
from memcirc.engine.plan import Inputs
from memcirc.engine.prepared import prepare
from memcirc.interventions import RunSettings
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.decoder.families import loaded
from tests.decoder.test_against_naive import naive_circuit
from tests.models import random_pairs


@pytest.mark.parametrize(
    ("blocks", "stretches"),
    [
        ([], []),
        ([(0, 1)], [(0, 1)]),
        ([(0, 1), (1, 1), (2, 1)], [(0, 3)]),
        ([(0, 1), (0, 1), (1, 1)], [(0, 3)]),
        ([(0, 1), (2, 1)], [(0, 1), (1, 2)]),
        ([(1, 1), (0, 1)], [(0, 1), (1, 2)]),
        ([(0, 1), (1, 2), (2, 2)], [(0, 1), (1, 3)]),
        ([(0, None), (1, None), (2, 0)], [(0, 2), (2, 3)]),
    ],
)
def test_heads_run_together_where_they_read_one_input_through_neighbouring_matrices(
    blocks: list[tuple[int, int | None]], stretches: list[tuple[int, int]]
) -> None:
    assert _runs(blocks) == stretches


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 1)), max_size=8))
def test_stretches_follow_each_other_and_cover_every_head(blocks: list[tuple[int, int | None]]) -> None:
    covered = [i for start, stop in _runs(blocks) for i in range(start, stop)]
    assert covered == list(range(len(blocks)))


@pytest.mark.parametrize(("matrices", "expected"), [(4, [0, 1, 3]), (2, [0, 0, 1]), (1, [0, 0, 0])])
def test_heads_of_a_group_share_a_matrix(matrices: int, expected: list[int]) -> None:
    group = Inputs({11: 0, 13: 2}, torch.zeros(1, 3, 1, dtype=torch.int8).numpy(), (False,) * 3)
    columns = Columns(Projection(torch.zeros(matrices, 2, 3)), slice(10, 14), group, torch.zeros(1))
    assert columns.stored([0, 1, 3]) == expected
    assert [columns.input_of(head) for head in range(4)] == [None, 0, None, 2]


def circuits(model: Model, shares: list[float], seed: int) -> Tensor:
    draw = torch.rand(len(shares), model.weights.graph.n_edges, generator=torch.Generator().manual_seed(seed))
    return draw < torch.tensor(shares)[:, None]


@given(
    seed=st.integers(0, 999),
    share=st.floats(0, 1),
    name=st.sampled_from(["gpt2", "gpt_neox", "llama_tied", "gemma2", "olmo2", "phi_normed"]),
    ablation=st.sampled_from(["resample", "zero"]),
)
@settings(max_examples=12, deadline=None)
def test_a_circuit_is_what_single_edges_make_of_it(seed: int, share: float, name: str, ablation: str) -> None:
    model, pairs = loaded(name), random_pairs(1, 5, shared=1, seed=seed)
    kept = circuits(model, [share], seed)
    found = prepare(model, pairs, RunSettings("tree", ablation)).logits(kept)[0, 0]
    torch.testing.assert_close(found, naive_circuit(model, pairs[0], kept[0], ablation), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama"])
@pytest.mark.parametrize("few", [0, 4, 1000])
def test_few_terms_by_adds_and_many_by_a_product_are_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str, few: int
) -> None:
    model, pairs = loaded(name), random_pairs(2, (6, 5), shared=2)
    kept = circuits(model, [0.1, 0.5, 0.9], 3)
    runner = prepare(model, pairs, RunSettings("tree"))
    expected = runner.logits(kept)
    monkeypatch.setattr(circuits_module, "FEW", few)
    singly = torch.cat([runner.logits(row[None]) for row in kept])
    torch.testing.assert_close(singly, expected)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gpt_neox"])
def test_a_circuit_that_leaves_nothing_at_work_gives_the_ablation_totals(name: str) -> None:
    model, pairs = loaded(name), random_pairs(2, 5)
    nothing = torch.zeros(3, model.weights.graph.n_edges, dtype=torch.bool)
    found = prepare(model, pairs, RunSettings("tree")).logits(nothing)
    for row in found:
        for logits, pair in zip(row, pairs, strict=True):
            torch.testing.assert_close(logits, model.logits(torch.tensor([pair.corrupt_ids]))[0, -1])


def test_circuits_in_one_plan_do_not_touch_each_other() -> None:
    """The same circuit beside others, at any place among them."""
    model, pairs = loaded("llama"), random_pairs(2, 5)
    kept = circuits(model, [0.3, 0.02, 0.7, 0.98], 5)
    runner = prepare(model, pairs, RunSettings("tree", "zero"))
    alone = runner.logits(kept[:1])[0]
    for order in ([0, 1, 2, 3], [3, 0, 1], [2, 1, 3, 0], [0, 0]):
        torch.testing.assert_close(runner.logits(kept[order])[order.index(0)], alone)


@pytest.mark.parametrize("cache", [0, 16 << 20])
def test_no_circuit_gives_no_logits(cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_module, "CACHE_BYTES", cache)
    model = loaded("gpt2")
    none = torch.zeros(0, model.weights.graph.n_edges, dtype=torch.bool)
    assert prepare(model, Pairs(random_pairs(2).items), RunSettings("tree")).logits(none).shape == (0, 2, 31)


def changed_at(model: Model, base: Tensor, edges: Tensor) -> Tensor:
    """A circuit with each of some edges put in or taken out."""
    masks = base.repeat(len(edges), 1)
    masks[torch.arange(len(edges)), edges] ^= True
    return masks


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 999),
    share=st.floats(0.02, 0.98),
    name=st.sampled_from(["gpt2", "gpt_neox", "llama_tied", "gemma2", "olmo2", "phi_normed"]),
    ablation=st.sampled_from(["resample", "zero"]),
    mode=st.sampled_from(["tree", "edge"]),
)
def test_layers_that_circuits_share_are_run_once_and_change_nothing(
    seed: int, share: float, name: str, ablation: str, mode: str
) -> None:
    """One circuit at a time, each from the first layer that differs from the one before, against each alone; some pairs
    are read at their last position alone."""
    model, pairs = loaded(name), random_pairs(2, (5, 7), shared=seed % 3)
    runner = prepare(model, pairs, RunSettings(mode, ablation))
    (base,) = circuits(model, [share], seed)
    masks = changed_at(model, base, torch.randperm(len(base), generator=torch.Generator().manual_seed(seed))[:12])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared_module, "CACHE_BYTES", 0)
        together = runner.logits(torch.cat([base[None], masks]))
        alone = torch.cat([runner.logits(mask[None]) for mask in (base, *masks)])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=1e-12)


def test_a_change_in_the_last_layer_runs_that_layer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs = loaded("gpt2"), random_pairs(2, 6)
    graph, ran = model.weights.graph, []
    first = graph.rows(graph.shape.n_layers - 1).query.start
    masks = changed_at(
        model, torch.ones(graph.n_edges, dtype=torch.bool), (graph.edge_destination >= first).nonzero()[:, 0]
    )
    runner = prepare(model, pairs, RunSettings("tree"))
    layer = circuits_module._Run.layer
    monkeypatch.setattr(circuits_module._Run, "layer", lambda run, n: ran.append(n) or layer(run, n))
    monkeypatch.setattr(prepared_module, "CACHE_BYTES", 0)
    runner.logits(masks)
    assert ran.count(graph.shape.n_layers - 1) == len(masks)
    assert [ran.count(n) for n in range(graph.shape.n_layers - 1)] == [1] * (graph.shape.n_layers - 1)
