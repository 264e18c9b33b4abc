"""Circuits and scores there and back: bit for bit through every file, by the peers' own readers; what is refused."""

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import load_scores
from memcirc.circuit import Circuit
from memcirc.graph import Graph, GraphShape, graph_of
from memcirc.interop.export import FORMATS, export, prune_scores
from memcirc.interop.mib import ScoredCircuit
from memcirc.interop.prune_scores import modules_of, to_prune_scores
from memcirc.interop.reading import load_circuit, read_circuit_file
from tests.models import random_pairs, small_model

OF_ALL_GRAPHS = ("graphml", "dot", "csv")
WITH_ALL_SCORES = ("mib-json", "mib-pt", "auto-circuit-scores", "csv")
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=64).filter(lambda x: x != 0)
IN_ANY_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def scored_circuits(draw: st.DrawFn, whole_blocks: bool) -> ScoredCircuit:
    n_heads = draw(st.integers(1, 3)) * 2
    n_kv_heads = n_heads if whole_blocks else draw(st.sampled_from([n_heads, 1]))
    has_mlp = whole_blocks or draw(st.booleans())
    graph = Graph(GraphShape(draw(st.integers(1, 3)), n_heads, n_kv_heads, has_mlp, has_mlp and draw(st.booleans())))
    few = draw(st.lists(NUMBERS, min_size=1, max_size=8))
    scores = torch.tensor([few[i % len(few)] for i in range(graph.n_edges)], dtype=torch.float64)
    edges = draw(st.sets(st.sampled_from(graph.edges), max_size=12))
    origin = {"method": "eap", "model": draw(st.text(max_size=8)), "seed": 3}
    return ScoredCircuit(graph, Circuit(frozenset(edges), origin), scores, 16)


@IN_ANY_FOLDER
@given(scored=scored_circuits(whole_blocks=False), name=st.sampled_from(OF_ALL_GRAPHS))
def test_a_circuit_of_any_graph_comes_back_bit_for_bit(scored: ScoredCircuit, name: str, tmp_path: Path) -> None:
    export(scored, tmp_path / "file", name)
    back = read_circuit_file(tmp_path / "file")
    assert (back.graph, back.edges) == (scored.graph, scored.circuit.edges)
    expected = dict(zip(scored.graph.edges, scored.scores.tolist(), strict=True))
    assert {edge: back.scores[edge].hex() for edge in back.scores} == {e: expected[e].hex() for e in back.scores}
    assert back.scores.keys() >= scored.circuit.edges
    if name == "graphml":
        assert {key: back.origin[key] for key in scored.circuit.origin} == scored.circuit.origin


@IN_ANY_FOLDER
@given(scored=scored_circuits(whole_blocks=True), name=st.sampled_from(WITH_ALL_SCORES))
def test_scores_come_back_bit_for_bit(scored: ScoredCircuit, name: str, tmp_path: Path) -> None:
    export(scored, tmp_path / "file", name)
    back = load_scores(tmp_path / "file")
    assert back.graph == scored.graph
    assert back.values.equal(scored.scores)
    if name != "auto-circuit-scores":
        assert load_circuit(tmp_path / "file")[0] == scored.circuit
    if name.startswith("mib"):
        assert {key: back.origin[key] for key in scored.circuit.origin} == scored.circuit.origin


@IN_ANY_FOLDER
@given(scored=scored_circuits(whole_blocks=True))
def test_a_circuit_comes_back_from_prune_scores(scored: ScoredCircuit, tmp_path: Path) -> None:
    export(scored, tmp_path / "file", "auto-circuit")
    assert load_circuit(tmp_path / "file")[0] == scored.circuit


def test_every_format_is_read_back(tmp_path: Path) -> None:
    graph = Graph(GraphShape(2, 2, 2))
    scored = ScoredCircuit(graph, Circuit.from_edges(["input->logits", "m0->logits"]), torch.ones(graph.n_edges), 8)
    for name in FORMATS:
        export(scored, tmp_path / name, name)
        expected = frozenset(graph.edges) if name == "auto-circuit-scores" else scored.circuit.edges
        assert load_circuit(tmp_path / name)[0].edges == expected, name


def test_auto_circuits_own_prune_scores_are_read_under_its_own_names(tmp_path: Path) -> None:
    """A file written as its ``save_cache`` writes one, of scores in the order of its own modules."""
    from memcirc.interop.auto_circuit import patchable
    from memcirc.interop.names import from_auto_circuit

    model = small_model("gpt2")
    peer = patchable(model)
    theirs = {w.module_name: torch.randn_like(w.patch_mask) for w in peer.dest_wrappers}
    torch.save(theirs, tmp_path / "scores-01-01-2026_00-00-00.pkl")
    scores = load_scores(tmp_path / "scores-01-01-2026_00-00-00.pkl", model)
    assert scores.graph == graph_of(model)
    for edge in peer.edges:
        assert scores[from_auto_circuit(edge.name)] == float(edge.prune_score(theirs))
    again = to_prune_scores(scores.graph, scores.values)
    assert again.keys() == theirs.keys()
    assert all(torch.equal(again[name], theirs[name]) for name in theirs)


@pytest.mark.skipif(importlib.util.find_spec("eap") is None, reason="EAP-IG is not installed")
@pytest.mark.parametrize("name", ["mib-json", "mib-pt"])
def test_eap_ig_itself_reads_and_writes(name: str, tmp_path: Path) -> None:
    theirs: Any = importlib.import_module("eap.graph").Graph
    graph = Graph(GraphShape(2, 3, 3))
    scores = torch.randn(graph.n_edges, generator=torch.Generator().manual_seed(0))
    scored = ScoredCircuit(graph, Circuit.from_edges(graph.edges[10:40]), scores, 12)
    export(scored, tmp_path / "ours", name)
    opened = theirs.from_json(tmp_path / "ours") if name == "mib-json" else theirs.from_pt(tmp_path / "ours")
    assert {edge for edge in opened.edges if opened.edges[edge].in_graph} == set(scored.circuit)
    (opened.to_json if name == "mib-json" else opened.to_pt)(tmp_path / "theirs")
    assert load_circuit(tmp_path / "theirs")[0] == scored.circuit
    assert load_scores(tmp_path / "theirs").values.float().equal(scores)


def test_a_circuit_of_another_model_is_refused_and_both_are_named(tmp_path: Path) -> None:
    model, other = small_model("gpt2"), small_model("gpt_neox")
    scores = attribute(model, random_pairs(2), "eap")
    export(ScoredCircuit(scores.graph, scores.top(5), scores.values, 16), tmp_path / "c.json", "mib-json")
    scores.save(tmp_path / "s.safetensors")
    assert load_circuit(tmp_path / "c.json", model)[0] == scores.top(5)
    for load, path in ((load_circuit, tmp_path / "c.json"), (load_scores, tmp_path / "s.safetensors")):
        with pytest.raises(ValueError, match=f"{model.name}.*the model at hand .*{other.name}"):
            load(path, other)


class Runs:
    """What a pickle could do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("ran", "w"))


GRAPH = Graph(GraphShape(1, 2, 2))
ZEROS = {name: torch.zeros(shape) for name, _, shape in modules_of(GRAPH)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Runs(), "not a file of tensors and plain values alone"),
        ({"blocks.0.hook_resid_post": torch.nn.Linear(1, 1)}, "not a file of tensors and plain values alone"),
        ({"blocks.0.hook_resid_post": {1, 2}}, "a set in it; accepted are plain tensors"),
        ({"blocks.0.hook_resid_post": torch.nn.Parameter(torch.ones(3))}, "a Parameter in it"),
        ({"blocks.0.hook_resid_post": torch.ones(3).to_sparse()}, "a Tensor in it; accepted are plain tensors"),
        ({"blocks.0.hook_resid_post": torch.ones(3)}, "no blocks.0.hook_q_input"),
        ({**ZEROS, "blocks.0.hook_q_input": torch.zeros(5, 2, 1)}, "no blocks.0.hook_q_input"),
        ({**ZEROS, "blocks.0.hook_k_input": torch.zeros(2, 2)}, "has the shape .2, 2., where .2, 1. is needed"),
        ({**ZEROS, "blocks.7.attn": torch.zeros(2)}, "blocks.7.attn is missing, or is no module"),
        ([1], "neither a circuit of MIB's nor AutoCircuit's"),
        ({"cfg": {"n_layers": 1, "n_heads": 2}}, "neither a circuit of MIB's nor AutoCircuit's"),
    ],
)
def test_a_pickle_with_anything_else_is_refused(content: Any, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "c.pkl")
    with pytest.raises(ValueError, match=message):
        load_circuit(tmp_path / "c.pkl")
    assert not (tmp_path / "ran").exists()


def test_a_plain_pickle_is_refused_without_being_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.pkl").write_bytes(pickle.dumps(Runs()))
    with pytest.raises(ValueError, match="nothing else is read from one"):
        load_circuit(tmp_path / "c.pkl")
    assert not (tmp_path / "ran").exists()


def mib_content(**changes: Any) -> dict[str, Any]:
    shape = len(GRAPH.sources), len(GRAPH.destinations)
    content = {
        "cfg": {"n_layers": 1, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 4},
        "src_nodes": list(GRAPH.sources),
        "dst_nodes": list(GRAPH.destinations),
        "edges_in_graph": torch.ones(shape, dtype=torch.bool),
        "nodes_in_graph": torch.ones(len(GRAPH.sources), dtype=torch.bool),
    }
    return content | changes


def test_a_binary_circuit_of_mibs_has_no_scores(tmp_path: Path) -> None:
    """Its prune keeps all of a node's columns, also those that are no edges; these are no part of a circuit here."""
    torch.save(mib_content(), tmp_path / "c.pt")
    assert load_circuit(tmp_path / "c.pt")[0].edges == frozenset(GRAPH.edges)
    with pytest.raises(ValueError, match=f"{GRAPH.n_edges} of {GRAPH.n_edges} edges have no score in it"):
        load_scores(tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"src_nodes": ["input"]}, "src_nodes are not the 4 of its cfg"),
        ({"edges_in_graph": torch.ones(2, 2)}, "edges of shape .2, 2. in a graph of another one"),
        ({"neurons_in_graph": torch.ones(4, 4)}, "it has neurons one by one"),
        ({"cfg": {"n_layers": 1, "n_heads": 10**9}}, "n_heads is 1000000000; at most 1024"),
    ],
)
def test_tensors_that_do_not_fit_their_graph_are_refused(changes: Any, message: str, tmp_path: Path) -> None:
    torch.save(mib_content(**changes), tmp_path / "c.pt")
    with pytest.raises(ValueError, match=message):
        load_circuit(tmp_path / "c.pt")


def test_the_exported_circuit_is_not_touched(tmp_path: Path) -> None:
    scores = attribute(small_model("gpt2"), random_pairs(2), "eap")
    scored = ScoredCircuit(scores.graph, scores.top(5), scores.values, 16)
    before = scores.values.clone()
    prune_scores(scored)
    assert scores.values.equal(before)
