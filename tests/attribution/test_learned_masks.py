"""Learned masks: what they find in models worked by hand, that they are a function of their seed, what is refused."""

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.attribution.learned_masks import shifted, size_at, started
from memcirc.attribution.relaxations import HARD_CONCRETE, UNIFORM, Relaxation
from memcirc.circuits.config import DiscoverConfig
from memcirc.circuits.discover import discover, n_pieces
from memcirc.circuits.runner import circuit_runner
from memcirc.interventions import ABLATIONS
from tests.micro_models import m1
from tests.models import random_pairs, small_model, small_pair

NAMES = ("edge-pruning", "uniform-gradient-sampling")
METHODS = pytest.mark.parametrize("method", NAMES)


@METHODS
def test_an_edge_that_does_nothing_goes_first(method: str) -> None:
    """Queries and keys of M1 read nothing; input->logits does the most."""
    model, pairs = m1()
    scores = attribute(model, pairs, method, updates=60)
    assert scores.top(1).edges == {"input->logits"}
    assert scores.top(3).edges == {"input->logits", "a0.h0->logits", "input->a0.h0<v>"}


@pytest.mark.parametrize(
    ("method", "updates"),
    [("edge-pruning", 150), pytest.param("uniform-gradient-sampling", 600, marks=pytest.mark.slow)],
)
def test_a_path_loses_less_than_the_order_that_it_starts_from(method: str, updates: int) -> None:
    model, pairs = small_model("gpt2"), random_pairs(12, 6, 2)
    runner = circuit_runner(model, pairs, mode="tree")
    losses = []
    for scores in (attribute(model, pairs, "mask-ig"), attribute(model, pairs, method, updates=updates)):
        masks = torch.stack([scores.top(n).mask(scores.graph) for n in (20, 40, 80, 160)])
        _, everything = runner.end_values()
        losses.append(float((runner.per_pair(masks) - everything).square().mean()))
    assert losses[1] < losses[0]


@METHODS
def test_scores_are_a_function_of_the_seed(method: str) -> None:
    model, pairs = small_model("attention_only"), random_pairs(3)
    first, again, other = (attribute(model, pairs, method, updates=5, seed=seed).values for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert ((first >= 0) & (first <= 1)).all()


@pytest.mark.filterwarnings("ignore:.*do not share a basis")
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_they_are_learned_under_every_ablation(ablation: str) -> None:
    model = small_pair("gpt_neo") if ablation == "twin" else small_model("gpt_neo")
    for method in NAMES:
        scores = attribute(model, random_pairs(4, (6, 7), 2), method, updates=3, ablation=ablation, objective="kl")
        assert torch.isfinite(scores.values).all()
        assert scores.origin["updates"] == 3


@pytest.mark.parametrize("relaxation", [HARD_CONCRETE, UNIFORM])
def test_logits_are_shifted_to_a_size(relaxation: Relaxation) -> None:
    logits = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 20
    for size in (1.0, 20.0, 250.0):
        found = shifted(logits, relaxation, size)
        assert float(relaxation.at_work(found).sum()) == pytest.approx(size)
        torch.testing.assert_close(found - logits, (found - logits)[:1].expand(500))


def test_sizes_fall_from_half_to_a_thousandth_and_not_below_one() -> None:
    assert [size_at(update, 3, 100_000) for update in range(3)] == pytest.approx([50_000, 2236.068, 100])
    assert size_at(9, 10, 50) == 1
    assert size_at(0, 1, 50) == 25


def test_logits_start_in_the_order_of_absolute_scores() -> None:
    assert started(torch.tensor([1.0, -3.0, 2.0])).argsort(descending=True).tolist() == [1, 2, 0]


def test_discovery_learns_masks_of_all_pairs_at_once() -> None:
    model, pairs = small_model("attention_only"), random_pairs(6)
    config = DiscoverConfig(method="edge-pruning", updates=4, unit_pairs=2)
    assert n_pieces(pairs, config) == 1
    found = discover(model, pairs, pairs, config, modes=("tree",)).scores
    expected = attribute(model, pairs, "edge-pruning", updates=4, batch_size=16).values
    torch.testing.assert_close(found.values, expected)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"updates": 0}, "updates is 0; at least 1 is needed"),
        ({"rate": 0.0}, "rate is 0.0; above 0 is needed"),
        ({"rate": 20.0}, "rate 20 is too large: update 1 of 300 moves a mask's logit by 20, from open to shut at once"),
        ({"per_example": True}, "per_example is not defined"),
        ({"engine": "auto-circuit"}, "is computed by engine 'native' alone"),
    ],
)
@METHODS
def test_bad_input_is_named(method: str, told: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attribute(small_model("gpt2"), random_pairs(2), method, **told)  # type: ignore[arg-type]
