"""Free generation without a circuit: none of it, all of it, and what both models say."""

import pytest
import torch

from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.studies.pii.samples import Sample, pairs_of
from memcirc.studies.pii.suppression import suppression
from memcirc.studies.pii.two_models import TwoModels
from memcirc.twins import beside


def greedy(model: Model, sample: Sample) -> list[int]:
    ids = list(sample.prompt_ids)
    for _ in sample.answer_ids:
        ids.append(int(model.logits(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(sample.prompt_ids) :]


def test_without_no_edge_all_is_said_as_before(two: TwoModels) -> None:
    model = beside(two.target, two.control)
    nothing = torch.zeros(graph_of(model).n_edges, dtype=torch.bool)
    (found,) = suppression(model, nothing, {"records": pairs_of(two.samples)})
    said = sum(greedy(two.target, sample) == list(sample.answer_ids) for sample in two.samples)
    assert (found.text, found.n_records, found.unchanged) == ("records", 8, 1.0)
    assert found.before == found.after == said / 8 > 0


def test_a_circuit_of_every_edge_takes_everything_out(two: TwoModels) -> None:
    """Prompts of two lengths; with the roles exchanged, what is said before is what the control says."""
    control = two.control.with_twin(None)
    model = beside(two.target, control)
    everything = torch.ones(graph_of(model).n_edges, dtype=torch.bool)
    samples = [*two.samples, *(Sample("", "", s.prompt_ids[:-1], s.answer_ids[:2]) for s in two.samples[:3])]
    (found,) = suppression(model, everything, {"all": pairs_of(samples)})
    assert found.unchanged == found.unchanged_everything < 1
    assert found.n_records == 11
    (exchanged,) = suppression(beside(control, two.target), everything, {"all": pairs_of(two.samples)})
    own = sum(greedy(control, sample) == list(sample.answer_ids) for sample in two.samples) / 8
    assert exchanged.before == pytest.approx(own)
