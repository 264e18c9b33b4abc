import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcirc.attribution.scores import EdgeScores, load_scores
from memcirc.attribution.selection import check_size, greedy_ranking
from memcirc.circuit import Circuit, connected
from memcirc.graph import Graph, GraphShape, node_of

GRAPH = Graph(GraphShape(2, 2, 2))
values = st.lists(st.integers(-3, 3), min_size=GRAPH.n_edges, max_size=GRAPH.n_edges).map(
    lambda numbers: torch.tensor(numbers, dtype=torch.float32)
)


@given(values, st.integers(0, GRAPH.n_edges), st.sampled_from(["abs", "signed"]), st.sampled_from(["top", "greedy"]))
def test_exactly_n_edges_are_chosen_and_circuits_are_nested(scores: torch.Tensor, n: int, by: str, how: str) -> None:
    chosen = getattr(EdgeScores(GRAPH, scores), how)(n, by=by)
    assert len(chosen) == n
    if n:
        assert getattr(EdgeScores(GRAPH, scores), how)(n - 1, by=by).edges < chosen.edges


@given(values)
def test_ties_go_to_the_earlier_edge(scores: torch.Tensor) -> None:
    order = EdgeScores(GRAPH, scores).order("abs").tolist()
    keys = [(-abs(float(scores[i])), i) for i in order]
    assert keys == sorted(keys)


@given(values)
def test_every_prefix_of_greedy_growth_leads_to_the_logits(scores: torch.Tensor) -> None:
    joined = {"logits"}
    for index in greedy_ranking(GRAPH, scores).tolist():
        source, destination = GRAPH.edges[index].split("->")
        assert node_of(destination) in joined
        joined.add(source)


def test_greedy_growth_takes_the_highest_edge_into_what_has_joined() -> None:
    scores = torch.zeros(GRAPH.n_edges)
    for name, value in {
        "a1.h0->logits": 1.0,
        "m1->logits": 0.5,
        "input->a1.h0<q>": 9.0,
        "input->a0.h0<q>": 10.0,
    }.items():
        scores[GRAPH.index(name)] = value
    assert EdgeScores(GRAPH, scores).greedy(2).edges == {"a1.h0->logits", "input->a1.h0<q>"}


def test_only_edges_on_a_path_from_input_to_logits_are_connected() -> None:
    kept = ["input->a0.h0<q>", "a0.h0->m1", "m1->logits", "a0.h1->logits", "input->m0"]
    mask = Circuit.from_edges(kept).mask(GRAPH)
    left = [GRAPH.edges[i] for i in torch.nonzero(connected(GRAPH, mask)).flatten().tolist()]
    assert sorted(left) == ["a0.h0->m1", "input->a0.h0<q>", "m1->logits"]


@given(values)
def test_pruning_is_idempotent_and_removes_only(scores: torch.Tensor) -> None:
    mask = scores > 0
    once = connected(GRAPH, mask)
    assert torch.equal(connected(GRAPH, once), once)
    assert not (once & ~mask).any()


@pytest.mark.parametrize("n", [-1, GRAPH.n_edges + 1])
def test_a_size_out_of_range_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"{n} edges asked for; accepted: 0 to {GRAPH.n_edges}"):
        EdgeScores(GRAPH, torch.zeros(GRAPH.n_edges)).top(n)


def test_nan_scores_are_refused() -> None:
    scores = torch.zeros(GRAPH.n_edges)
    scores[3] = float("nan")
    with pytest.raises(ValueError, match=r"1 of \d+ edge scores are NaN"):
        EdgeScores(GRAPH, scores)


def test_a_score_is_found_by_name_and_an_unknown_name_refused() -> None:
    scores = EdgeScores(GRAPH, torch.arange(GRAPH.n_edges).float())
    assert scores[GRAPH.edges[7]] == 7 == scores.as_dict()[GRAPH.edges[7]]
    with pytest.raises(ValueError, match="no edge 'a9->m0'"):
        scores["a9->m0"]


def test_a_file_gives_back_what_was_saved(tmp_path) -> None:  # type: ignore[no-untyped-def]
    per_example = torch.randn(3, GRAPH.n_edges)
    scores = EdgeScores(GRAPH, per_example.mean(0), {"method": "eap", "pairs": 3}, per_example)
    scores.save(tmp_path / "s.safetensors")
    loaded = load_scores(tmp_path / "s.safetensors")
    assert loaded.graph == GRAPH
    assert torch.equal(loaded.values, scores.values)
    assert loaded.per_example is not None
    assert torch.equal(loaded.per_example, per_example)
    assert loaded.origin == scores.origin


def test_files_that_are_no_scores_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.safetensors: not a file of memcirc edge scores"):
        load_scores(tmp_path / "bad.safetensors")
    with pytest.raises(FileNotFoundError, match="no edge scores at"):
        load_scores(tmp_path / "none.safetensors")


@pytest.mark.parametrize("n", ["3", 3.0, 2.5, True, None])
def test_a_size_is_a_whole_number(n: object) -> None:
    with pytest.raises((ValueError, TypeError), match=r"a whole number is needed|check_size"):
        check_size(n, 9)
