import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPTNeoConfig, GPTNeoXConfig, LlamaConfig

from memcirc.graph import Graph, GraphShape, graph_of

shapes = st.builds(
    GraphShape,
    n_layers=st.integers(1, 4),
    n_heads=st.just(4),
    n_kv_heads=st.sampled_from([1, 2, 4]),
    has_mlp=st.booleans(),
    parallel=st.booleans(),
)


@pytest.mark.parametrize(
    ("config", "grouped", "edges"),
    [
        (GPT2Config(), False, 32_491),
        (GPTNeoConfig(num_layers=12, num_heads=12, attention_types=[[["global", "local"], 6]]), False, 32_491),
        (GPTNeoXConfig(num_hidden_layers=6, num_attention_heads=8, hidden_size=512), False, 3_580),
        (GPTNeoXConfig(num_hidden_layers=12, num_attention_heads=12, hidden_size=768), False, 32_347),
        (GPT2Config(n_layer=24, n_head=16, n_embd=1024), False, 231_877),
        (LlamaConfig(num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8), False, 386_713),
        (LlamaConfig(num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8), True, 195_865),
    ],
)  # fmt: skip
def test_published_models_have_the_known_number_of_edges(config: object, grouped: bool, edges: int) -> None:
    graph = graph_of(config, grouped_kv=grouped)
    assert graph.n_edges == edges


@given(shapes)
def test_the_count_follows_the_closed_form(shape: GraphShape) -> None:
    layers, heads, q = shape.n_layers, shape.n_heads, shape.n_heads + 2 * shape.n_kv_heads
    if shape.has_mlp:
        expected = (q + 1) * (layers + (heads + 1) * layers * (layers - 1) // 2) + 1 + layers * (heads + 1)
        expected += 0 if shape.parallel else layers * heads
    else:
        expected = q * (layers + heads * layers * (layers - 1) // 2) + 1 + layers * heads
    assert Graph(shape).n_edges == expected


@given(shapes)
def test_edges_are_ordered_by_source_then_destination_and_found_by_name(shape: GraphShape) -> None:
    graph = Graph(shape)
    keys = list(zip(graph.edge_source.tolist(), graph.edge_destination.tolist(), strict=True))
    assert keys == sorted(keys)
    assert len(set(graph.edges)) == graph.n_edges
    assert [graph.index(name) for name in graph.edges] == list(range(graph.n_edges))


@given(shapes)
def test_matrix_and_vector_are_inverse(shape: GraphShape) -> None:
    graph = Graph(shape)
    values = torch.arange(2 * graph.n_edges, dtype=torch.float64).view(2, -1)
    matrix = graph.to_matrix(values)
    assert torch.equal(graph.from_matrix(matrix), values)
    assert matrix.shape == (2, len(graph.destinations), len(graph.sources))


def test_the_mlp_of_a_sequential_block_reads_its_own_heads_and_that_of_a_parallel_block_does_not() -> None:
    sequential = Graph(GraphShape(1, 2, 2))
    parallel = Graph(GraphShape(1, 2, 2, parallel=True))
    assert "a0.h1->m0" in sequential.edges
    assert "a0.h1->m0" not in parallel.edges
    assert sequential.edges[0] == "input->a0.h0<q>"


def test_an_unknown_edge_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match=r"no edge 'input->a0\.h0<x>'.*nearest: .*input->a0\.h0<"):
        Graph(GraphShape(2, 2, 2)).index("input->a0.h0<x>")
