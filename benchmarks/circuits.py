"""One circuit from a prepared runner: ours, AutoCircuit's ``run_circuits``, and a plain forward pass of transformers.

python -m benchmarks.circuits [--shape gpt2-small] [--repeats 5] [--peer-repeats 1] [--clock wall]
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import model_of, n_pairs, random_pairs
from benchmarks.peers import peers_circuit, plain_forward
from benchmarks.timing import Row, interleaved, options, report, result_name
from memcirc.engine import Request, mask_gradients, prepare
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.models import Model


def top(values: Tensor, n_edges: int) -> Tensor:
    """bool [1, n_edges]: the edges of the highest absolute scores."""
    kept = torch.zeros(1, len(values), dtype=torch.bool)
    kept[0, values.abs().topk(n_edges).indices.cpu()] = True
    return kept


def drawn(n_edges: int, n_kept: int) -> Tensor:
    """bool [1, n_edges]: edges drawn at random, so that every destination keeps some and loses some."""
    kept = torch.zeros(1, n_edges, dtype=torch.bool)
    kept[0, torch.randperm(n_edges, generator=torch.Generator().manual_seed(0))[:n_kept]] = True
    return kept


def measure(model: Model, n: int, branch: bool, mode: str, repeats: int, peer_repeats: int, clock: str) -> list[Row]:
    pairs, graph = random_pairs(n, 50, branch, model.d_vocab), graph_of(model)
    scores = mask_gradients(Request(model, pairs, "logit_diff"), [0.0, 0.5])
    small, half = round(graph.n_edges / 100), graph.n_edges // 2
    few, many = top(scores, small), drawn(graph.n_edges, half)
    settings = RunSettings(mode)  # type: ignore[arg-type]
    runner = prepare(model, pairs, settings)
    calls: dict[str, Callable[[], Any]] = {
        "plain": lambda: plain_forward(model, pairs),
        "full": lambda: runner.logits(few),
        "columns": lambda: runner.logits(few, answers_only=True),
        "half": lambda: runner.logits(many),
        "whole": lambda: prepare(model, pairs, settings).logits(few),
    }
    if peer_repeats:
        calls["peer"] = peers_circuit(model, pairs, scores, small, mode)
    taken = interleaved(calls, {key: peer_repeats if key == "peer" else repeats for key in calls}, clock)
    work = f"{mode}, differ {'branch' if branch else 'everywhere'}, {small} edges"
    plain = [
        Row(f"{work}, full logits", taken["full"], taken["plain"], "plain forward", 1.0, True),
        Row(f"{mode}, {half} random edges", taken["half"], taken["plain"], "plain forward", 2.5, True),
    ]
    if not peer_repeats:
        return plain
    if branch:
        return [
            Row(f"{work}, full logits", taken["full"], taken["peer"], "run_circuits", 70.0),
            Row(f"{work}, answer columns", taken["columns"], taken["peer"], "run_circuits", 100.0),
        ]
    floor = 12.0 if mode == "tree" else 10.0
    return [
        Row(f"{work}, full logits", taken["full"], taken["peer"], "run_circuits", floor),
        Row(f"{work}, preparation counted", taken["whole"], taken["peer"], "run_circuits", 5.0),
        *plain,
    ]


def main() -> None:
    chosen = options(__doc__, repeats=5, peer_repeats=1).parse_args()
    model = model_of(chosen.shape)
    rows = [
        row
        for branch in (False, True)
        for mode in ("tree", "edge")
        for row in measure(
            model, n_pairs(chosen.shape), branch, mode, chosen.repeats, chosen.peer_repeats, chosen.clock
        )
    ]
    title = f"One circuit, {chosen.shape}, {n_pairs(chosen.shape)} pairs of 50 tokens"
    report(result_name("circuits", chosen.shape), title, rows, shape=chosen.shape, clock=chosen.clock)


if __name__ == "__main__":
    main()
