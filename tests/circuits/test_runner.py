"""Circuits on both engines: hand-worked outputs, ends, identities, faithfulness."""

from dataclasses import replace

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.attribution.selection import prefix_masks
from memcirc.circuit import Circuit
from memcirc.circuits.minimal import find_minimal
from memcirc.circuits.runner import circuit_runner, run_circuit
from memcirc.graph import graph_of
from memcirc.interventions import ABLATIONS, MODES, RunSettings
from memcirc.pairs.record import Pair, Pairs
from tests.micro_models import m1
from tests.models import random_pairs, small_model, small_pair

ENGINES = ["native", "auto-circuit"]
I_L, V, A_L = "input->logits", "input->a0.h0<v>", "a0.h0->logits"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("mode", "expected"),
    [("tree", [0, 2, 0, 0, 1, 3]), ("edge", [0, 2, 1, 1, 1, 3])],
)
def test_m1_circuits_give_the_objectives_worked_by_hand(engine: str, mode: str, expected: list[float]) -> None:
    model, pairs = m1()
    circuits = [set(), {I_L}, {V}, {A_L}, {V, A_L}, set(graph_of(model).edges)]
    logits = circuit_runner(model, pairs, mode=mode, engine=engine).logits(circuits)
    assert (logits[:, 0, 1] - logits[:, 0, 0]).tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_faithfulness_is_zero_at_no_edge_and_one_at_all(engine: str, mode: str, ablation: str, reverse: bool) -> None:
    model, pairs = small_pair("gpt_neo") if ablation == "twin" else small_model("gpt_neo"), random_pairs(3, (4, 6))
    runner = circuit_runner(model, pairs, mode=mode, ablation=ablation, reverse=reverse, engine=engine)
    assert runner.faithfulness([set(), runner.graph.edges]).tolist() == pytest.approx([0, 1], abs=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("ablation", ["resample", "zero", "mean-corrupt"])
def test_edge_of_a_circuit_is_tree_of_its_complement_in_the_other_direction(ablation: str, reverse: bool) -> None:
    model, pairs = small_model("gpt_neox"), random_pairs(3, lengths=(4, 6))
    graph = graph_of(model)
    chosen = frozenset(graph.edges[::3])
    edge = run_circuit(model, pairs, chosen, mode="edge", ablation=ablation, reverse=reverse)
    tree = run_circuit(
        model, pairs, frozenset(graph.edges) - chosen, mode="tree", ablation=ablation, reverse=not reverse
    )
    torch.testing.assert_close(edge, tree, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    "name", ["gpt2", "gpt_neo", "gpt_neox", "gpt_neox_sequential", "llama_ungrouped", "attention_only"]
)
def test_both_engines_agree_on_faithfulness(name: str) -> None:
    model, pairs = small_model(name), random_pairs(3, lengths=(5, 7))
    circuits = [frozenset(graph_of(model).edges[i::4]) for i in range(4)]
    for mode in MODES:
        ours, theirs = (circuit_runner(model, pairs, mode=mode, engine=e).per_pair(circuits) for e in ENGINES)
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=0)


def test_pruning_dangling_nodes_equals_running_the_connected_part() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2)
    whole = frozenset(graph_of(model).edges[::2])
    without_roots = {name for name in whole if not name.startswith("input->")}
    pruned = run_circuit(model, pairs, without_roots, mode="tree", ablation="zero", dangling="prune")
    torch.testing.assert_close(pruned, run_circuit(model, pairs, set(), mode="tree", ablation="zero"))


def test_metrics_of_whole_answers_are_run_teacher_forced() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2, steps=3)
    runner = circuit_runner(model, pairs, mode="tree")
    value = runner.per_pair([runner.graph.edges], "sequence_logprob")[0]
    for pair, logprob in zip(pairs, value, strict=True):
        ids = torch.tensor([[*pair.clean_ids, *pair.answer_sequence_ids]])
        logprobs = model.hooked(ids[:, :-1], prepend_bos=False).log_softmax(-1)[0, len(pair) - 1 :]
        expected = sum(logprobs[i, t] for i, t in enumerate(pair.answer_sequence_ids))
        assert float(logprob) == pytest.approx(float(expected), abs=1e-9)


def test_kl_is_zero_for_the_whole_model_on_the_clean_prompt() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2)
    runner = circuit_runner(model, pairs, mode="tree")
    assert runner.per_pair([runner.graph.edges], "kl").abs().max() < 1e-12


def test_a_minimal_circuit_carries_its_own_measurement() -> None:
    model, pairs = small_model("attention_only"), random_pairs(4)
    scores = attribute(model, pairs, "eap")
    found = find_minimal(model, pairs, scores, mode="tree", target=0.8)
    assert len(found.circuit) == found.n_edges
    again = circuit_runner(model, pairs, mode="tree").faithfulness([found.circuit])
    assert float(again[0]) == pytest.approx(found.faithfulness, abs=1e-9)
    assert found.faithfulness >= 0.8


def test_scores_of_another_graph_are_refused() -> None:
    model, pairs = m1()
    other = attribute(small_model("gpt2"), random_pairs(1), "random")
    with pytest.raises(ValueError, match="not the same graph"):
        find_minimal(model, pairs, other, mode="tree")


def test_prefix_masks_are_the_first_edges_of_the_ranking() -> None:
    assert prefix_masks(torch.tensor([2, 0, 1]), [0, 1, 2]).tolist() == [
        [False, False, False],
        [False, False, True],
        [True, False, True],
    ]


@pytest.mark.parametrize(
    ("circuit", "message"),
    [({"input->m9"}, "no edge 'input->m9'"), ("input->m0", "put a single circuit into a list")],
)
def test_circuits_that_are_none_are_refused(circuit: object, message: str) -> None:
    model, pairs = m1()
    with pytest.raises(ValueError, match=message):
        run_circuit(model, pairs, circuit, mode="tree")  # type: ignore[arg-type]


def test_edge_names_in_place_of_circuits_are_refused() -> None:
    model, pairs = m1()
    with pytest.raises(ValueError, match="put a single circuit into a list"):
        circuit_runner(model, pairs, mode="tree").logits([I_L])


def test_an_answer_outside_the_vocabulary_is_refused() -> None:
    model, _ = m1()
    with pytest.raises(ValueError, match="answer id 7 is outside the vocabulary"):
        circuit_runner(model, Pairs((Pair((0,), (1,), (7,), (0,)),)), mode="tree")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"mode": "node"}, "mode 'node' is not known; accepted: tree, edge"),
        ({"mode": "tree", "ablation": "noise"}, "ablation 'noise' is not known"),
        ({"mode": "edge", "dangling": "prune"}, "which mode 'edge' does not run"),
    ],
)
def test_bad_settings_are_refused(words: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunSettings(**words)


def test_settings_name_base_and_direction() -> None:
    settings = [RunSettings(mode, reverse=reverse) for mode in MODES for reverse in (False, True)]
    assert [s.base for s in settings] == ["clean", "corrupt", "corrupt", "clean"]
    assert [s.direction for s in settings] == ["noising", "denoising", "denoising", "noising"]
    assert RunSettings("edge", "zero").caveat == "ablates the circuit on the corrupt run"


def test_a_mean_over_many_pairs_resolves_finer_by_their_root() -> None:
    model, pairs = small_model("gpt2"), random_pairs(4)
    runner = circuit_runner(model, pairs, mode="tree")
    one = runner.resolution("logit_diff")
    assert one > 0
    assert runner.resolution("logit_diff", 4) / one == pytest.approx(0.5)
    assert runner.ends().resolution / one == pytest.approx(0.5)


def test_ends_are_the_means_of_no_edge_and_of_all_and_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    runner = circuit_runner(model, pairs, mode="tree")
    clean, corrupt = (
        model.logits(torch.tensor([getattr(pair, f"{prompt}_ids") for pair in pairs]))[:, -1]
        for prompt in ("clean", "corrupt")
    )

    def difference(logits: torch.Tensor) -> list[float]:
        return [float(row[p.answer_ids[0]] - row[p.wrong_answer_ids[0]]) for row, p in zip(logits, pairs, strict=True)]

    nothing, everything = runner.end_values().tolist()
    assert nothing == pytest.approx(difference(corrupt))
    assert everything == pytest.approx(difference(clean))
    assert (runner.ends().nothing, runner.ends().everything) == pytest.approx((sum(nothing) / 3, sum(everything) / 3))
    monkeypatch.setattr(runner, "_run", None)
    assert runner.ends().nothing == pytest.approx(sum(nothing) / 3)


@pytest.mark.parametrize("n", [0, 1, 32, 33, 70])
def test_any_number_of_circuits_is_measured_in_order(n: int) -> None:
    model, pairs = m1()
    graph = graph_of(model)
    masks = torch.rand(n, graph.n_edges, generator=torch.Generator().manual_seed(n)) < 0.5
    runner = circuit_runner(model, pairs, mode="tree")
    found = runner.per_pair(masks)
    assert found.shape == (n, 1)
    singly = [runner.per_pair([[name for name, kept in zip(graph.edges, row, strict=True) if kept]]) for row in masks]
    assert found.flatten().tolist() == pytest.approx([float(value) for value in singly])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reverse", [False, True])
def test_kl_is_taken_from_the_clean_runs_own_logits_in_every_mode_and_direction(mode: str, reverse: bool) -> None:
    """One end of every way is the clean run, where the divergence is 0; at the other it is that of the corrupt run."""
    model, pairs = small_model("gpt2"), random_pairs(34, (4, 5))
    runner = circuit_runner(model, pairs, mode=mode, reverse=reverse)
    nothing, everything = runner.end_values("kl")
    clean, corrupt = (everything, nothing) if not reverse else (nothing, everything)
    assert clean.abs().max() < 1e-12
    for pair, value in zip(pairs, corrupt, strict=True):
        own, other = (model.logits(torch.tensor([ids]))[0, -1].log_softmax(-1) for ids in (pair.clean_ids,
                                                                                       pair.corrupt_ids))  # fmt: skip
        assert float(value) == pytest.approx(float((own.exp() * (own - other)).sum()))


def test_no_pairs_and_no_circuits_are_told_apart() -> None:
    model, pairs = m1()
    with pytest.raises(ValueError, match="the pair set is empty; a circuit is run on at least one pair"):
        circuit_runner(model, Pairs(()), mode="tree")
    runner = circuit_runner(model, pairs, mode="tree")
    assert runner.masks([]).shape == (0, runner.graph.n_edges)
    assert runner.per_pair([]).shape == (0, 1)


def test_a_runner_says_how_its_numbers_are_measured() -> None:
    model, pairs = m1()
    way = circuit_runner(model, pairs, mode="tree", ablation="zero", reverse=True, dangling="prune").way("prob_diff")
    assert (way.mode, way.ablation, way.reverse, way.dangling, way.metric) == (
        "tree",
        "zero",
        True,
        "prune",
        "prob_diff",
    )


def test_a_reference_is_passed_over_where_no_mean_is_taken() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2)
    with_one = circuit_runner(model, pairs, mode="tree", reference=random_pairs(3, seed=5))
    assert with_one.ends() == circuit_runner(model, pairs, mode="tree").ends()
    mean = circuit_runner(model, pairs, mode="tree", ablation="mean-clean", reference=random_pairs(3, seed=5))
    assert mean.ends().nothing != circuit_runner(model, pairs, mode="tree", ablation="mean-clean").ends().nothing


def test_failures_are_the_pairs_whose_likeliest_token_is_no_answer() -> None:
    model, pairs = small_model("gpt2"), random_pairs(6)
    runner = circuit_runner(model, pairs, mode="tree")
    everything = Circuit.from_edges(runner.graph.edges)
    said = runner.logits([everything])[0].argmax(-1).tolist()
    expected = [pair for pair, token in zip(pairs, said, strict=True) if token not in pair.answer_ids]
    assert list(runner.failures(everything)) == expected
    right = [replace(pair, answer_ids=(token,)) for pair, token in zip(pairs, said, strict=True)]
    assert len(circuit_runner(model, Pairs(tuple(right)), mode="tree").failures(everything)) == 0
