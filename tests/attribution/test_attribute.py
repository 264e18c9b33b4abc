"""Both engines against hand-worked micro-models and against the literal definition."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from memcirc.attribution.attribute import attribute, swapped
from memcirc.attribution.method import Method
from memcirc.attribution.methods import METHODS, method_named
from memcirc.circuits.config import DiscoverConfig
from memcirc.circuits.discover import scored_piece
from memcirc.circuits.runner import run_circuit
from memcirc.graph import graph_of
from memcirc.pairs.record import Pairs
from tests.micro_models import m1, m2
from tests.models import random_pairs, small_model

ENGINES = ["native", "auto-circuit"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("method", "steps", "expected"),
    [
        ("eap", 1, {"input->logits": 2, "a0.h0->logits": 1, "input->a0.h0<v>": 1, "input->a0.h0<k>": 0}),
        ("mask-ig", 4, {"input->logits": 10, "a0.h0->logits": 2.5, "input->a0.h0<v>": 2.5, "input->a0.h0<q>": 0}),
        ("clean-corrupted", 1, {"input->logits": 2, "a0.h0->logits": 0.5}),
    ],
)  # fmt: skip
def test_m1_gives_the_numbers_worked_by_hand(engine: str, method: str, steps: int, expected: dict[str, float]) -> None:
    model, pairs = m1()
    scores = attribute(model, pairs, method, steps=steps, engine=engine)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("eap", {"input->m0": 9, "m0->logits": 6, "input->logits": 3}),
        ("mask-ig", {"input->m0": 20.25, "m0->logits": 11.25, "input->logits": 15}),
    ],
)
def test_m2_gives_the_numbers_worked_by_hand(engine: str, method: str, expected: dict[str, float]) -> None:
    model, pairs = m2()
    scores = attribute(model, pairs, method, steps=4, engine=engine)
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("grid", "expected"), [("0..m-1", (4.5, 6, 3)), ("1..m", (9, 6, 3))])
def test_m2_gives_the_numbers_of_eap_ig_worked_by_hand(grid: str, expected: tuple[float, ...]) -> None:
    model, pairs = m2()
    scores = attribute(model, pairs, "eap-ig-inputs", steps=2, grid=grid)
    assert (scores["input->m0"], scores["m0->logits"], scores["input->logits"]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("method", ["eap-ig-inputs", "eap-ig-activations", "relp", "magnitude"])
def test_every_method_gives_a_finite_score_for_every_edge_and_averages_pairs(method: str) -> None:
    model, pairs = small_model("gpt_neo"), random_pairs(3, lengths=(4, 6))
    scores = attribute(model, pairs, method, per_example=True)
    assert scores.per_example is not None
    assert torch.isfinite(scores.per_example).all()
    torch.testing.assert_close(attribute(model, pairs, method, batch_size=2).values, scores.per_example.mean(0))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_data_sets_score_is_the_mean_over_its_pairs_whatever_the_batches(engine: str) -> None:
    model, pairs = small_model("gpt2"), random_pairs(5, lengths=(4, 6))
    single = [attribute(model, Pairs((pair,)), "eap", engine=engine).values for pair in pairs]
    for size in (1, 2, 5):
        together = attribute(model, pairs, "eap", engine=engine, batch_size=size)
        torch.testing.assert_close(together.values, torch.stack(single).mean(0), atol=1e-11, rtol=0)
    per_example = attribute(model, pairs, "eap", engine=engine, per_example=True).per_example
    torch.testing.assert_close(per_example, torch.stack(single), atol=1e-11, rtol=0)


def test_exact_is_the_loss_of_the_metric_when_one_edge_is_ablated() -> None:
    model, pairs = small_model("attention_only"), random_pairs(2)
    graph, scores = graph_of(model), attribute(model, pairs, "exact")
    answers = [(pair.answer_ids[0], pair.wrong_answer_ids[0]) for pair in pairs]

    def mean_difference(logits: torch.Tensor) -> float:
        return float(torch.stack([row[a] - row[w] for row, (a, w) in zip(logits, answers, strict=True)]).mean())

    whole = mean_difference(run_circuit(model, pairs, graph.edges, mode="tree"))
    for name in graph.edges[::17]:
        without = run_circuit(model, pairs, frozenset(graph.edges) - {name}, mode="tree")
        assert scores[name] == pytest.approx(whole - mean_difference(without), abs=1e-9)


def test_random_scores_depend_on_the_seed_alone() -> None:
    model, pairs = small_model("attention_only"), random_pairs(2)
    first, again, other = (attribute(model, pairs, "random", seed=seed).values for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_reverse_exchanges_the_prompts_and_keeps_the_answers() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2)
    reverse, by_hand = attribute(model, pairs, "eap", reverse=True), attribute(model, swapped(pairs), "eap")
    assert torch.equal(reverse.values, by_hand.values)


def test_the_origin_states_what_was_done() -> None:
    model, pairs = small_model("attention_only"), random_pairs(2)
    origin = attribute(model, pairs, "mask-ig", steps=3).origin
    assert (origin["method"], origin["steps"], origin["ablation"], origin["pairs"]) == ("mask-ig", 3, "resample", 2)
    assert origin["data_fingerprint"] == pairs.fingerprint


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_found_by_its_name(name: str) -> None:
    assert isinstance(method_named(name), Method)


def test_discovery_passes_on_every_setting_of_attribution() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    config = DiscoverConfig(method="eap-ig-inputs", steps=2, grid="1..m")
    table = scored_piece(model, pairs, config, 0)
    expected = attribute(model, pairs, "eap-ig-inputs", steps=2, grid="1..m").values
    torch.testing.assert_close(torch.from_numpy(table["sum"].to_numpy()) / 3, expected)
    first, other = (scored_piece(model, pairs, DiscoverConfig(method="random", seed=seed), 0) for seed in (0, 1))
    assert not first.equals(other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "acdc"}, "method 'acdc' is not known; accepted: eap"),
        ({"ablation": "median"}, "ablation 'median' is not known; accepted: resample"),
        ({"engine": "cuda"}, "engine 'cuda' is not known; accepted: native"),
        ({"objective": "correct"}, "metric 'correct' is not known"),
        ({"steps": 0}, "steps is 0; at least 1"),
        ({"method": "relp", "engine": "auto-circuit"}, "method 'relp' is computed by engine 'native' alone"),
        ({"method": "eap-ig-inputs", "ablation": "zero"}, "is not defined for ablation 'zero'"),
        ({"method": "eap-ig-inputs", "grid": "all"}, "grid 'all' is not known; accepted: 0..m-1, 1..m"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    model, pairs = m1()
    with pytest.raises(ValueError, match=message):
        attribute(model, pairs, **options)  # type: ignore[arg-type]


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="the pair set is empty"):
        attribute(m1()[0], Pairs(()))


def test_scores_are_told_by_node() -> None:
    model = small_model("attention_only")
    scores = attribute(model, random_pairs(2), "eap")
    nodes = scores.by_node()
    assert list(nodes) == [*scores.graph.sources, "logits"]
    assert nodes["a0.h1"]["input->a0.h1<q>"] == scores["input->a0.h1<q>"]
    assert sum(map(len, nodes.values())) == 2 * scores.graph.n_edges
    assert set(nodes["logits"]) == {f"{source}->logits" for source in scores.graph.sources}


def test_answers_that_are_the_wrong_ones_have_no_difference_to_attribute() -> None:
    model, items = small_model("gpt2"), random_pairs(3).items
    same = Pairs((*items[:2], replace(items[2], answer_ids=(3, 4), wrong_answer_ids=(4, 3))))
    with pytest.raises(
        ValueError, match=r"1 of 3 pairs do not contrast: answers and wrong answers of pair 2 \(\(3, 4\)"
    ):
        attribute(model, same, "eap", objective="neg_prob_diff")
    assert attribute(model, same, "eap", objective="answer_logit").values.any()


@pytest.mark.parametrize("method", ["eap", "relp"])
def test_an_objective_without_a_slope_at_the_clean_run_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=f"'{method}' reads the slope of 'kl' at the clean run"):
        attribute(small_model("gpt2"), random_pairs(2), method, objective="kl")


@pytest.mark.parametrize("switch", ["reverse", "per_example"])
def test_a_switch_is_true_or_false(switch: str) -> None:
    options: Any = {switch: "no"}
    with pytest.raises(ValueError, match=f"{switch} is 'no'; True or False is needed"):
        attribute(small_model("gpt2"), random_pairs(2, 6), "eap", **options)
