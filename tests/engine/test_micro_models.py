"""Numbers worked by hand (design text, "Micro-models with hand-worked numbers")."""

import math

import pytest
import torch

from memcirc.engine import Request, mask_gradients, prepare
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.metrics import Answers, Labels, Metric
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.engine.micro import one_dimension_each
from tests.micro_models import m1, m2


def scores(model: Model, pairs: Pairs, alphas: list[float]) -> dict[str, float]:
    values = mask_gradients(Request(model, pairs, "logit_diff"), alphas)
    return {name: float(v) for name, v in zip(graph_of(model).edges, values, strict=True) if v != 0}


def objective(model: Model, pairs: Pairs, mode: str, edges: list[str]) -> float:
    graph = graph_of(model)
    kept = torch.zeros(1, graph.n_edges, dtype=torch.bool)
    kept[0, graph.indices(edges)] = True
    logits = prepare(model, pairs, RunSettings(mode)).logits(kept)  # type: ignore[arg-type]
    return float(Metric.parse("logit_diff").of_position(logits, Labels(Answers.of(pairs, 2)))[0, 0])


def k_steps(k: int) -> list[float]:
    return [i / k for i in range(k + 1)]


def test_uniform_attention_has_its_scores_and_circuits() -> None:
    model, pairs = m1()
    assert scores(model, pairs, [0.0]) == pytest.approx({"input->logits": 2, "a0.h0->logits": 1, "input->a0.h0<v>": 1})
    ig = scores(model, pairs, k_steps(4))
    assert ig == pytest.approx({"input->logits": 10, "a0.h0->logits": 2.5, "input->a0.h0<v>": 2.5})
    v, a, i = "input->a0.h0<v>", "a0.h0->logits", "input->logits"
    everything = list(graph_of(model).edges)
    assert [objective(model, pairs, "tree", c) for c in ([], [i], [v], [a], [v, a], everything)] == [0, 2, 0, 0, 1, 3]
    assert [objective(model, pairs, "edge", c) for c in ([], [i], [v], [a], [v, a], everything)] == [0, 2, 1, 1, 1, 3]


def test_one_neuron_has_its_scores() -> None:
    model, pairs = m2()
    assert scores(model, pairs, [0.0]) == pytest.approx({"input->m0": 9, "m0->logits": 6, "input->logits": 3})
    ig = scores(model, pairs, k_steps(4))
    assert ig == pytest.approx({"input->m0": 20.25, "m0->logits": 11.25, "input->logits": 15})
    assert objective(model, pairs, "tree", list(graph_of(model).edges)) == 8
    assert objective(model, pairs, "tree", []) == -1


def test_queries_keys_and_values_are_apart() -> None:
    model, pairs = one_dimension_each()
    expected = {"input->a0.h0<k>": 0.75 * math.log(3), "input->a0.h0<v>": -3, "a0.h0->logits": -1}
    assert scores(model, pairs, [0.0]) == pytest.approx(expected)
    q, k, v, a = "input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>", "a0.h0->logits"
    assert [objective(model, pairs, "tree", c) for c in ([k, a], [v, a], [q, a], [k, v, a])] == pytest.approx(
        [6, 2, 4, 3]
    )
    assert [objective(model, pairs, "edge", c) for c in ([k], [v], [a])] == pytest.approx([6, 2, 3])
    assert objective(model, pairs, "tree", list(graph_of(model).edges)) == pytest.approx(3)
    assert objective(model, pairs, "tree", []) == pytest.approx(4)
