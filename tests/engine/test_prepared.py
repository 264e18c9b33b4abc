"""Circuit runs: AutoCircuit's numbers, and what must hold of them by their definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memcirc.engine import prepare
from memcirc.graph import graph_of
from memcirc.interop import auto_circuit
from memcirc.interventions import ABLATIONS, MODES, RunSettings
from memcirc.metrics import Answers
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.engine.sampling import pairwise
from tests.models import ARCHITECTURES, random_pairs, small_model, small_pair

PEERS = [name for name in ARCHITECTURES if name != "llama_grouped"]
SHARES = (0.03, 0.2, 0.5, 0.9)


def circuits(model: Model, shares: tuple[float, ...] = SHARES, seed: int = 0) -> Tensor:
    """Random circuits that keep the given shares of the edges, then the empty and the full one."""
    generator = torch.Generator().manual_seed(seed)
    n_edges = graph_of(model).n_edges
    rows = [torch.rand(n_edges, generator=generator) < share for share in (*shares, -1, 2)]
    return torch.stack(rows)


def agrees_with_autocircuit(
    architecture: str, ablation: str, mode: str, reverse: bool, shared: int, steps: int
) -> None:
    model = small_pair(architecture) if ablation == "twin" else small_model(architecture)
    lengths = 6 if architecture == "bidirectional" else (6, 7, 6)
    sequence = steps > 0 and not ablation.startswith("mean")
    pairs, kept = random_pairs(3, lengths, shared, steps=steps), circuits(model)
    settings_ = RunSettings(mode, ablation, reverse)  # type: ignore[arg-type]
    expected = auto_circuit.prepare(model, pairs, settings_, sequence=sequence).logits(kept)
    actual = prepare(model, pairs, settings_, sequence=sequence).logits(kept)
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-9 * expected.abs().max()


KINDS = (PEERS, tuple(ABLATIONS), MODES, (False, True), (0, 4, 5), (0, 3))
SAMPLE = pairwise(*KINDS)


@pytest.mark.parametrize(("architecture", "ablation", "mode", "reverse", "shared", "steps"), SAMPLE[: 2 * len(PEERS)])
def test_logits_are_autocircuits(
    architecture: str, ablation: str, mode: str, reverse: bool, shared: int, steps: int
) -> None:
    agrees_with_autocircuit(architecture, ablation, mode, reverse, shared, steps)


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("architecture", PEERS)
def test_logits_are_autocircuits_everywhere(architecture: str, ablation: str, mode: str, reverse: bool) -> None:
    for shared, steps in ((0, 0), (4, 3), (5, 0)):
        agrees_with_autocircuit(architecture, ablation, mode, reverse, shared, steps)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_full_circuit_is_clean_and_the_empty_one_corrupt(architecture: str) -> None:
    model = small_model(architecture)
    pairs = random_pairs(3, 6, shared=2)
    clean, corrupt = (
        model.hooked(torch.tensor([getattr(pair, ids) for pair in pairs]), prepend_bos=False)[:, -1]
        for ids in ("clean_ids", "corrupt_ids")
    )
    ends = torch.stack([torch.ones(graph_of(model).n_edges), torch.zeros(graph_of(model).n_edges)]).bool()
    for mode in MODES:
        for reverse in (False, True):
            first, last = prepare(model, pairs, RunSettings(mode, reverse=reverse)).logits(ends)
            expected = (corrupt, clean) if reverse else (clean, corrupt)
            torch.testing.assert_close((first, last), expected)


@given(
    seed=st.integers(0, 999),
    share=st.floats(0, 1),
    shared=st.integers(0, 5),
    architecture=st.sampled_from(["gpt2", "gpt_neox", "llama_grouped", "no_norm"]),
    reverse=st.booleans(),
)
@settings(max_examples=6, deadline=None)
def test_edge_mode_is_tree_mode_of_the_complement_reversed(
    seed: int, share: float, shared: int, architecture: str, reverse: bool
) -> None:
    model = small_model(architecture)
    pairs, kept = random_pairs(2, 6, shared, seed), circuits(model, (share,), seed)[:1]
    edge = prepare(model, pairs, RunSettings("edge", reverse=reverse)).logits(kept)
    tree = prepare(model, pairs, RunSettings("tree", reverse=not reverse)).logits(~kept)
    torch.testing.assert_close(edge, tree)


@given(
    seed=st.integers(0, 999),
    lengths=st.lists(st.integers(2, 9), min_size=2, max_size=4),
    shared=st.integers(0, 8),
    mode=st.sampled_from(MODES),
    ablation=st.sampled_from(list(ABLATIONS)),
)
@settings(max_examples=6, deadline=None)
def test_batches_circuits_and_prefixes_are_only_ways_to_be_fast(
    seed: int, lengths: list[int], shared: int, mode: str, ablation: str
) -> None:
    """All circuits on all pairs at once equal one circuit on one pair at a time; the columns equal the full logits."""
    model = small_pair("gpt_neo")
    pairs, kept = (
        random_pairs(len(lengths), tuple(lengths), shared, seed, alternatives=2),
        circuits(model, (0.1, 0.6), seed),
    )
    settings_ = RunSettings(mode, ablation)  # type: ignore[arg-type]
    reference = pairs if ABLATIONS[ablation].means_of else None
    runner = prepare(model, pairs, settings_, reference)
    together = runner.logits(kept)
    columns = Answers.of(pairs, model.d_vocab).gather(together)
    torch.testing.assert_close(runner.logits(kept, answers_only=True), columns)
    for i in range(len(pairs)):
        alone = prepare(model, pairs[i : i + 1], settings_, reference)
        for row, circuit in enumerate(kept):
            torch.testing.assert_close(alone.logits(circuit[None])[0, 0], together[row, i])


@pytest.mark.parametrize("ablation", ["zero", "mean-both", "resample"])
def test_pruned_nodes_output_their_ablation_value(ablation: str) -> None:
    """With ``prune``, a circuit equals the one with every edge from nodes at rest removed, and under ``keep`` the two
    differ unless the ablation is resample."""
    model, pairs = small_model("gpt2"), random_pairs(3, 6)
    graph = graph_of(model)
    dangling = torch.zeros(1, graph.n_edges, dtype=torch.bool)
    dangling[0, graph.indices(["a0.h1->m1", "m1->logits", "input->logits"])] = True
    connected = torch.zeros(1, graph.n_edges, dtype=torch.bool)
    connected[0, graph.indices(["input->logits"])] = True
    prune = prepare(model, pairs, RunSettings("tree", ablation, dangling="prune"))  # type: ignore[arg-type]
    keep = prepare(model, pairs, RunSettings("tree", ablation))  # type: ignore[arg-type]
    torch.testing.assert_close(prune.logits(dangling), prune.logits(connected))
    torch.testing.assert_close(prune.logits(connected), keep.logits(connected))
    assert torch.allclose(keep.logits(dangling), prune.logits(dangling)) == (ablation == "resample")


def test_a_whole_answer_is_read_step_by_step() -> None:
    """Step i of a teacher-forced answer is the last position of the prompt with i answer tokens behind it."""
    model, pairs = small_model("llama"), random_pairs(2, 5, shared=2, steps=3)
    everything = torch.ones(1, graph_of(model).n_edges, dtype=torch.bool)
    logits = prepare(model, pairs, RunSettings("tree"), sequence=True).logits(everything)[0]
    for i in range(3):
        ids = torch.tensor([pair.clean_ids + pair.answer_sequence_ids[:i] for pair in pairs])
        torch.testing.assert_close(logits[:, i], model.hooked(ids, prepend_bos=False)[:, -1])


def test_bad_input_is_named() -> None:
    model = small_model("gpt2")
    with pytest.raises(ValueError, match="at least one pair"):
        prepare(model, Pairs(()), RunSettings("tree"))
    with pytest.raises(ValueError, match="takes no reference"):
        prepare(model, random_pairs(2), RunSettings("tree"), reference=random_pairs(2))
    with pytest.raises(ValueError, match=r"circuits are bool \[circuits, 262\]"):
        prepare(model, random_pairs(2), RunSettings("tree")).logits(torch.ones(1, 5).bool())
    with pytest.raises(ValueError, match="has no answer_sequence_ids"):
        prepare(model, random_pairs(2), RunSettings("tree"), sequence=True)
