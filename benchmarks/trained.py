"""The embedded model, small and trained, where Python's own time shows: one circuit, a search, many circuits and a
leave-one-out, on pairs of its corpus' length.

python -m benchmarks.trained [--repeats 5] [--peer-repeats 2] [--clock wall]
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import random_pairs
from benchmarks.circuits import top
from benchmarks.peers import peers_circuit, plain_forward
from benchmarks.search import measure as search
from benchmarks.timing import Row, interleaved, options, report
from memcirc.circuits.runner import circuit_runner
from memcirc.demo import ensure
from memcirc.engine import Request, mask_gradients
from memcirc.graph import graph_of
from memcirc.models import Model, load_model
from memcirc.verification.drawing import connected_circuits
from memcirc.verification.random_circuits import per_pair_of_many

LENGTH, EDGES, CIRCUITS, LEFT_ONE_OUT = 48, 40, 1000, 154


def one_circuit(model: Model, branch: bool, mode: str, repeats: int, peer_repeats: int, clock: str) -> list[Row]:
    """Eight pairs through a prepared runner, beside the peer and a plain forward."""
    pairs = random_pairs(8, LENGTH, branch, model.d_vocab)
    scores = mask_gradients(Request(model, pairs, "logit_diff"), [0.0, 0.5])
    kept, runner = top(scores, EDGES), circuit_runner(model, pairs, mode=mode)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: runner.logits(kept),
        "plain": lambda: plain_forward(model, pairs),
    }
    if peer_repeats:
        calls["peer"] = peers_circuit(model, pairs, scores, EDGES, mode)
    taken = interleaved(calls, {key: peer_repeats if key == "peer" else repeats for key in calls}, clock)
    work = f"one circuit of {EDGES} edges, {mode}, differ {'branch' if branch else 'everywhere'}"
    floor = 70.0 if branch else 15.0 if mode == "tree" else 10.0
    return [
        Row(work, taken["ours"], taken.get("peer"), "run_circuits", floor),
        Row(work, taken["ours"], taken["plain"], "plain forward", None, True),
    ]


def many_circuits(model: Model, branch: bool, repeats: int, clock: str) -> Row:
    """1,000 connected random circuits on 25 pairs, in plain forwards of these."""
    pairs, graph = random_pairs(25, LENGTH, branch, model.d_vocab), graph_of(model)
    masks = connected_circuits(graph, EDGES, CIRCUITS, torch.Generator().manual_seed(0))
    runner = circuit_runner(model, pairs, mode="tree")
    calls = {
        "ours": lambda: per_pair_of_many(runner, masks, "logit_diff"),
        "plain": lambda: plain_forward(model, pairs),
    }
    taken = interleaved(calls, {"ours": min(2, repeats), "plain": 5 * repeats}, clock, warm=False)
    work = f"{CIRCUITS} circuits of {EDGES} edges, 25 pairs, differ {'branch' if branch else 'everywhere'}"
    return Row(work, taken["ours"], taken["plain"], "plain forwards", 250.0, True)


def leave_one_out(model: Model, mode: str, repeats: int, clock: str) -> Row:
    """A circuit without each of its edges in turn: a circuit's time in plain forwards."""
    pairs, graph = random_pairs(25, LENGTH, False, model.d_vocab), graph_of(model)
    scores = mask_gradients(Request(model, pairs, "logit_diff"), [0.0, 0.5])
    whole = top(scores, LEFT_ONE_OUT)[0]
    masks = whole.repeat(LEFT_ONE_OUT, 1)
    masks[torch.arange(LEFT_ONE_OUT), whole.nonzero().flatten()] = False
    runner = circuit_runner(model, pairs, mode=mode)
    calls = {
        "ours": lambda: per_pair_of_many(runner, masks, "logit_diff"),
        "plain": lambda: plain_forward(model, pairs),
    }
    taken = interleaved(calls, {"ours": repeats, "plain": 5 * repeats}, clock)
    work = f"each edge of {LEFT_ONE_OUT} left out, {mode}, {graph.n_edges} edges in all, a circuit"
    return Row(work, taken["ours"] / LEFT_ONE_OUT, taken["plain"], "plain forward", 0.5, True)


def main() -> None:
    chosen = options(__doc__, repeats=5, peer_repeats=2).parse_args()
    model = load_model(str(ensure(Path("runs/cache")).model_dir), device="cpu")
    again = (chosen.repeats, chosen.clock)
    rows = []
    for branch in (False, True):
        for mode in ("tree", "edge"):
            rows += one_circuit(model, branch, mode, chosen.repeats, chosen.peer_repeats, chosen.clock)
    for branch in (False, True):
        pairs = random_pairs(8, LENGTH, branch, model.d_vocab)
        for mode in ("tree", "edge"):
            what, floor = f"differ {'branch' if branch else 'everywhere'}", 60.0 if branch else 8.0
            rows.append(search(model, pairs, mode, 0.85, chosen.repeats, chosen.peer_repeats, what, floor)[0])
    rows += [many_circuits(model, branch, *again) for branch in (False, True)]
    rows += [leave_one_out(model, mode, *again) for mode in ("tree", "edge")]
    report("trained", f"The embedded model, pairs of {LENGTH} tokens", rows, clock=chosen.clock)


if __name__ == "__main__":
    main()
