"""Scores in a model of which a part is knocked out: against the fast method where nothing is, else against runs."""

from typing import Any

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.attribution.knocked_out import attribute_without
from memcirc.engine.masked_slopes import masked_slopes
from memcirc.engine.prepared import prepare
from memcirc.engine.request import Request
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.metrics import Answers, Labels, Metric
from tests.models import random_pairs, small_model, small_pair


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gpt2", {}),
        ("llama", {"objective": "neg_wrong_answer_logit", "reverse": True}),
        ("gpt_neox", {"ablation": "mean-both", "steps": 2}),
        ("gpt2", {"ablation": "twin", "objective": "sequence_logprob"}),
        ("gpt2", {"ablation": "zero", "objective": "kl"}),
    ],
)
def test_with_nothing_knocked_out_the_scores_are_those_of_mask_ig(name: str, options: dict[str, Any]) -> None:
    model = small_pair(name) if options.get("ablation") == "twin" else small_model(name)
    pairs = random_pairs(4, (6, 7, 6), 3, seed=1, steps=3)
    expected = attribute(model, pairs, "mask-ig", **options).values.double()
    nothing = torch.zeros(graph_of(model).n_edges, dtype=torch.bool)
    actual = attribute_without(model, pairs, nothing, batch_size=2, **options).values.double()
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_slope_is_what_a_small_change_of_the_mask_does() -> None:
    """With a circuit knocked out an edge's slope at its end is the effect of a little of it."""
    model, pairs = small_model("gpt2"), random_pairs(4, 6)
    graph = graph_of(model)
    generator = torch.Generator().manual_seed(0)
    left = (torch.rand(graph.n_edges, generator=generator) < 0.7).double()
    request = Request(model, pairs)
    slopes = masked_slopes(request, left[None])
    prepared = prepare(model, pairs, RunSettings("tree"))
    labels, metric = Labels(Answers.of(pairs, model.d_vocab)), Metric.parse("logit_diff")

    def value(kept: torch.Tensor) -> float:
        return float(metric(prepared.logits(kept.bool()[None], answers_only=True), labels).mean())

    into_logits = [i for i, edge in enumerate(graph.edges) if edge.endswith("->logits") and left[i]]
    for i in into_logits[:3]:
        without = left.clone()
        without[i] = 0
        points = torch.stack([left + (without - left) * j / 50 for j in range(51)])
        path = masked_slopes(request, points) / 51
        assert float(path[i]) == pytest.approx(value(left) - value(without), rel=0.03, abs=1e-4)
    assert slopes.shape == (graph.n_edges,)


def test_errors() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2, 6)
    nothing = torch.zeros(graph_of(model).n_edges, dtype=torch.bool)
    with pytest.raises(ValueError, match="computed by engine 'native'"):
        attribute_without(model, pairs, nothing, per_example=True)
    with pytest.raises(ValueError, match="metric 'accuracy' is not known"):
        attribute_without(model, pairs, nothing, objective="accuracy")
    with pytest.raises(ValueError, match=r"a mask is needed, bool \[\d+\]"):
        attribute_without(model, pairs, nothing[:-1])
