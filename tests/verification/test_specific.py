"""The search for a circuit that memorized text alone needs, on a small random model."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from memcirc.circuits.losses import losses
from memcirc.report.checks.specific import VIEW
from memcirc.verification.specific import SpecificSearch, _samples, specific
from memcirc.verification.specificity import WAY
from tests.models import D_VOCAB
from tests.report.records import evidence, record
from tests.verification.subjects import passages, subject


def text(n: int, seed: int) -> np.ndarray:
    return torch.randint(0, D_VOCAB, (n, 9), generator=torch.Generator().manual_seed(seed)).numpy()


def with_text(**changes: Any) -> Any:
    given = {"seen": text(6, 11), "near": text(6, 12), "ordinary": text(9, 13), **changes}
    return replace(passages(), **given)


def test_what_is_told_was_measured_on_passages_that_nothing_was_chosen_on() -> None:
    told = {"memorized_harm": 1e-3, "other_harm": 0.0}
    made = subject(passages=with_text(), settings=told)
    (row,) = specific(made)
    assert (row.n_memorized, row.n_other, row.at_least, row.at_most) == (5, 2 if row.text == "near" else 3, 1e-3, 0.0)
    assert row.met == (row.chosen_memorized >= row.at_least and row.chosen_other <= row.at_most)
    assert row.circuits >= len(row.tradeoff) > 0
    changed = with_text(memorized=text(5, 20), near=_last_third(text(6, 12), 21), ordinary=_last_third(text(9, 13), 22))
    (other,) = specific(subject(passages=changed, settings=told))
    chosen = ("met", "n_edges", "weight", "chosen_memorized", "chosen_other", "tradeoff", "circuits", "overlap")
    assert all(getattr(row, name) == getattr(other, name) for name in chosen)
    assert row.memorized != other.memorized
    assert row.other != other.other


def _last_third(ids: np.ndarray, seed: int) -> np.ndarray:
    """The same text with other tokens in what is reported on."""
    ids = ids.copy()
    ids[2::3] = text(len(ids[2::3]), seed)
    return ids


def test_the_harm_is_what_taking_it_out_adds() -> None:
    """With constraints that the whole graph alone meets, everything is taken out."""
    made = subject(passages=with_text(), settings={"memorized_harm": 100.0, "other_harm": 99.0})
    (row,) = specific(made)
    assert not row.met
    base = made.needed("passages")
    reference = base.pairs(base.ordinary[0::3])
    everything = torch.ones(2, made.graph.n_edges, dtype=torch.bool)
    everything[1] = False
    intact, gone = losses(made.model, base.pairs(base.seen[1::2]), everything, WAY, reference)
    harms = [harm for harm in row.tradeoff if harm["n_edges"] == made.graph.n_edges]
    for harm in harms:
        assert harm["memorized"] == pytest.approx(float((gone - intact).mean()), abs=1e-5)


def test_too_little_text_is_refused() -> None:
    for changes in ({"seen": text(1, 11)}, {"ordinary": text(2, 13)}):
        with pytest.raises(ValueError, match="to score edges, to choose a circuit and to measure it"):
            specific(subject(passages=with_text(**changes)))


@pytest.mark.parametrize(
    ("given", "holds", "said"),
    [
        ({"met": True, "certified": True, "memorized": 0.6, "other": 0.05}, True, "one of 7 edges, every one of which"),
        ({"met": True, "memorized": 0.6, "other": 0.3}, False, "not all of which were tried"),
        ({"circuits": 80}, False, "none of 80 circuits measured adds at least 0.5 nats"),
    ],
)
def test_the_page_says_whether_there_is_one(given: dict[str, Any], holds: bool, said: str) -> None:
    curve = [{"n_edges": 1, "weight": 0.0, "memorized": 0.1, "other": 0.1}]
    row = record(SpecificSearch, at_least=0.5, at_most=0.1, n_edges=7, text="near", tradeoff=curve, **given)
    (found,) = VIEW.findings("t", evidence(row))
    assert found.holds is holds
    assert said in found.text
    assert [plot.name for plot in VIEW.figures(evidence(row))] == ["tradeoff"]


def test_no_passage_is_in_two_samples() -> None:
    """A passage like a memorized one may be drawn as ordinary text too; it is then left out of the latter."""
    near, ordinary = text(6, 12), text(9, 13)
    drawn = with_text(near=near, ordinary=np.concatenate([near[:4], ordinary]))
    samples = _samples(drawn)
    prompts = [
        [pair.clean_ids + pair.answer_sequence_ids for kind in (part.memorized, *part.others) for pair in kind.pairs]
        for part in samples
    ]
    everything = [tuple(ids) for part in prompts for ids in part]
    assert len(everything) == len(set(everything)) == 5 + 6 + 6 + 9
