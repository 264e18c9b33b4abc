"""The reference for small models: each edge in turn carries its ablation value alone, and its score is how far the
objective falls."""

import torch
from torch import Tensor

from memcirc.attribution.method import Method
from memcirc.engine.request import Request
from memcirc.engines import engine_module
from memcirc.graph import graph_of
from memcirc.metrics import DIFFERENTIABLE, SEQUENCE, Answers, Labels, Metric

EXACT_CHUNK = 64


def exact(request: Request) -> Tensor:
    """Every edge is ablated alone, in tree mode on the clean prompt, ``EXACT_CHUNK`` circuits at a time."""
    graph, objective = graph_of(request.model), Metric.parse(request.objective, DIFFERENTIABLE)
    if objective.reads == SEQUENCE:
        raise ValueError("method 'exact' with a metric of whole answers is not defined here; use another objective")
    prepared = engine_module(request.engine).prepare(
        request.model, request.pairs, request.settings, request.reference, request.batch_size
    )
    answers = Answers.of(request.pairs, request.model.d_vocab, request.model.device)
    whole = torch.ones(1, graph.n_edges, dtype=torch.bool)
    plain = prepared.logits(whole)[0]
    labels = Labels(answers, reference=plain)
    before = objective.of_position(plain, labels)
    effects = []
    for start in range(0, graph.n_edges, EXACT_CHUNK):
        edges = torch.arange(start, min(start + EXACT_CHUNK, graph.n_edges))
        kept = whole.repeat(len(edges), 1)
        kept[torch.arange(len(edges)), edges] = False
        after = objective.of_position(prepared.logits(kept), labels)
        effects.append(before - after)
    per_pair = torch.cat(effects).T
    return per_pair if request.per_example else per_pair.mean(0)


METHOD = Method(exact)
