"""The whole search for a minimal circuit: ours with its preparation, against the same bisection over ``run_circuits``
(whose time does not depend on a circuit's size: a few of the sizes are timed, and scaled to all of them); and how many
plain forwards it takes to refine the first 1 % of a ranking (branch pairs) until no edge can be spared.

python -m benchmarks.search [--shape gpt2-small] [--target 0.85] [--repeats 3] [--peer-repeats 2]
"""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks.cases import model_of, random_pairs
from benchmarks.peers import AutoCircuit, plain_forward
from benchmarks.timing import Row, interleaved, options, report, result_name
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


def peers(model: Model, pairs: Pairs, scores: Tensor, mode: str, sizes: Sequence[int]) -> float:
    """Seconds that ``run_circuits`` takes for these sizes, its logit differences included."""
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


def measure(
    model: Model, pairs: Pairs, mode: str, target: float, repeats: int, peer_sizes: int, what: str, floor: float
) -> tuple[Row, float]:
    """The search beside the peer's, and how many seconds more it takes to look at every smaller size."""
    scores = mask_gradients(Request(model, pairs, "logit_diff"), [i / 5 for i in range(6)])
    runs = [ours(model, pairs, scores, mode, target, scan=False) for _ in range(repeats)]
    taken, found = sorted(runs, key=lambda run: run[0])[len(runs) // 2]
    with_scan, _ = ours(model, pairs, scores, mode, target, scan=True)
    sizes = list(found.evaluated)
    timed = sizes[:peer_sizes]
    peer = peers(model, pairs, scores, mode, timed) * len(sizes) / len(timed) if timed else None
    work = f"search, {mode}, {what} -> {found.n_edges} edges in {len(sizes)} runs"
    return Row(work, taken, peer, f"run_circuits, {len(timed)} sizes scaled", floor), with_scan - taken


def main() -> None:
    parser = options(__doc__, repeats=3, peer_repeats=2)
    parser.add_argument("--target", type=float, default=0.85)
    chosen = parser.parse_args()
    model = model_of(chosen.shape)
    rows, scans = [], {}
    for branch in (False, True):
        pairs = random_pairs(8, 50, branch, model.d_vocab)
        what = f"differ {'branch' if branch else 'everywhere'}"
        floor = 60.0 if branch else 8.0
        for mode in ("tree", "edge"):
            row, scan = measure(model, pairs, mode, chosen.target, chosen.repeats, chosen.peer_repeats, what, floor)
            rows.append(row)
            scans[row.work] = scan
            print(f"{row.work}: {row.ours:.2f} s; the scan below {scan:.2f} s more")
    row, found = refinement(model, chosen.repeats)
    assert found.certified
    rows.append(row)
    title = f"Minimal circuit at {chosen.target}, {chosen.shape}, 8 pairs of 50 tokens"
    report(result_name("search", chosen.shape), title, rows, shape=chosen.shape, scan_seconds=scans)


if __name__ == "__main__":
    main()
