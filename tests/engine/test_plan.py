"""Plans: what is at rest or dead is not computed, and shared inputs are formed once."""

import torch

from memcirc.engine.plan import plan
from memcirc.graph import Graph, GraphShape

GRAPH = Graph(GraphShape(n_layers=3, n_heads=2, n_kv_heads=2))


def planned(*edges: str, rests: bool = True, kept: bool = True):  # type: ignore[no-untyped-def]
    mask = torch.zeros(1, GRAPH.n_edges, dtype=torch.bool)
    mask[0, GRAPH.indices(edges)] = True
    carried = GRAPH.to_matrix(mask if kept else ~mask).numpy()
    return plan(GRAPH, carried, rests)


def computed(a_plan) -> set[str]:  # type: ignore[no-untyped-def]
    return {name for name, needed in zip(GRAPH.sources, a_plan.computed, strict=True) if needed}


def test_only_nodes_on_a_path_from_input_to_logits_are_computed() -> None:
    path = planned("input->a0.h1<v>", "a0.h1->m1", "m1->logits", "input->m0", "a2.h0->logits")
    assert computed(path) == {"input", "a0.h1", "m1"}


def test_where_nodes_never_rest_what_reads_nothing_is_still_computed() -> None:
    assert computed(planned("a2.h0->logits", rests=False)) == {"a2.h0"}
    assert computed(planned("a2.h0->logits")) == set()


def test_destinations_that_carry_the_same_share_an_input() -> None:
    shared = planned("input->a1.h0<q>", "input->a1.h1<k>", "input->a1.h0<v>", "a1.h0->logits", "a1.h1->logits")
    assert len(shared.layers[1].query) == 1


def test_the_shorter_of_the_two_sums_is_taken() -> None:
    nearly_all = planned("input->m2", kept=False)
    assert nearly_all.layers[2].mlp.total == (True,)
    assert (nearly_all.layers[2].mlp.signs == -1).sum() == 1
    few = planned("input->a0.h0<v>", "input->m0", "a0.h0->m1", "m0->m2", "m1->logits", "m2->logits")
    assert few.layers[2].mlp.total == (False,)
    assert (few.layers[2].mlp.signs == 1).sum() == 1
