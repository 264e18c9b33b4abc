"""The whole search for a minimal circuit: ours with its preparation, against the same bisection over ``run_circuits``;
and how many plain forwards it takes to refine the first 1 % of a ranking (branch pairs) until no edge can be spared.

python -m benchmarks.search [--shape gpt2-small] [--target 0.85] [--no-peer]
"""

import argparse
import time

import torch
from torch import Tensor

from benchmarks.cases import model_of, random_pairs
from benchmarks.peers import AutoCircuit, plain_forward
from benchmarks.timing import Row, interleaved, print_table, write_result
from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuits.refine import Refinement, refined
from memcirc.circuits.runner import circuit_runner
from memcirc.circuits.search import SizeSearch, smallest_size
from memcirc.engine import Request, mask_gradients
from memcirc.graph import graph_of
from memcirc.metrics import Answers, Labels, Metric
from memcirc.models import Model
from memcirc.pairs.record import Pairs


def ours(model: Model, pairs: Pairs, scores: Tensor, mode: str, target: float, scan: bool) -> tuple[float, SizeSearch]:
    """Seconds and result of one search, preparation counted in."""
    order = scores.abs().argsort(descending=True, stable=True)
    start = time.perf_counter()
    runner = circuit_runner(model, pairs, mode=mode)

    def faithfulness(sizes: list[int]) -> list[float]:
        kept = torch.zeros(len(sizes), len(scores), dtype=torch.bool)
        for row, size in enumerate(sizes):
            kept[row, order[:size]] = True
        return [float(f) for f in runner.faithfulness(kept)]

    found = smallest_size(faithfulness, len(scores), target, scan)  # type: ignore[arg-type]
    return time.perf_counter() - start, found


def peers(model: Model, pairs: Pairs, scores: Tensor, mode: str, sizes: list[int]) -> float:
    """Seconds that ``run_circuits`` takes for the sizes that our bisection measured, its logit differences included."""
    peer = AutoCircuit(model, pairs)
    peer_scores = peer.as_scores(graph_of(model), scores)
    metric, labels = Metric.parse("logit_diff"), Labels(Answers.of(pairs, model.d_vocab))
    start = time.perf_counter()
    for size in sizes:
        (batches,) = peer.run(peer_scores, size, mode).values()
        metric.of_position(torch.cat(list(batches.values())), labels).mean()
    return time.perf_counter() - start


def refinement(model: Model, repeats: int) -> tuple[Row, Refinement]:
    """What a prefix of 1 % of the edges keeps less .03 is the target; the certificate is part of the work."""
    pairs, graph = random_pairs(8, 50, True, model.d_vocab), graph_of(model)
    scores = EdgeScores(graph, mask_gradients(Request(model, pairs, "logit_diff"), [i / 5 for i in range(6)]).cpu())
    runner, order = circuit_runner(model, pairs, mode="tree"), scores.order()
    prefix = Ranking(scores).masks([round(graph.n_edges / 100)])[0]
    target = float(runner.faithfulness(prefix[None])[0]) - 0.03
    found: list[Refinement] = []

    def ours() -> None:
        found.append(refined(lambda masks: runner.faithfulness(masks) - target, [prefix], [order], 10_000))

    calls = {"ours": ours, "plain": lambda: plain_forward(model, pairs)}
    taken = interleaved(calls, dict.fromkeys(calls, repeats), warm=False)
    work = f"{int(prefix.sum())} edges refined to {found[-1].n_edges} in {found[-1].circuits} circuits, branch pairs"
    return Row(work, taken["ours"], taken["plain"], "plain forwards", 200.0, True), found[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="gpt2-small")
    parser.add_argument("--target", type=float, default=0.85)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    options = parser.parse_args()
    model = model_of(options.shape)
    rows, scans = [], {}
    for branch in (False, True):
        pairs = random_pairs(8, 50, branch, model.d_vocab)
        scores = mask_gradients(Request(model, pairs, "logit_diff"), [i / 5 for i in range(6)])
        for mode in ("tree", "edge"):
            runs = [ours(model, pairs, scores, mode, options.target, scan=False) for _ in range(options.repeats)]
            taken, found = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
            with_scan, _ = ours(model, pairs, scores, mode, options.target, scan=True)
            work = f"search, {mode}, differ {'branch' if branch else 'everywhere'} -> {found.n_edges} edges"
            scans[work] = with_scan - taken
            if not options.no_peer:
                peer = peers(model, pairs, scores, mode, list(found.evaluated))
                rows.append(Row(work, taken, peer, "run_circuits", 50.0 if branch else 8.0))
            print(f"{work}: {taken:.2f} s in {len(found.evaluated)} runs; the scan below {scans[work]:.2f} s more")
    row, found = refinement(model, options.repeats)
    assert found.certified
    rows.append(row)
    print_table(f"Minimal circuit at {options.target}, {options.shape}, 8 pairs of 50 tokens", rows)
    write_result("search", rows, shape=options.shape, scan_seconds=scans)


if __name__ == "__main__":
    main()
