"""Random circuits beside plain forward passes, and the decoder under a circuit beside plain generation.

python -m benchmarks.verification [--shape gpt2-small] [--circuits 100] [--clock wall]

100 connected random circuits of 1 % of the edges are run on prepared pairs and compared with 100 plain forward passes
of transformers over the same clean prompts. Chunks of both take turns in one run, so that the ratio does not depend on
how busy the machine is.
"""

import torch

from benchmarks.cases import model_of, n_pairs, random_pairs
from benchmarks.peers import plain_forward
from benchmarks.timing import Row, interleaved, options, report, result_name
from memcirc.circuits.runner import circuit_runner
from memcirc.engine.decoding import decode
from memcirc.graph import graph_of
from memcirc.memorization.generation import greedy
from memcirc.models import Model
from memcirc.verification.drawing import connected_circuits
from memcirc.verification.random_circuits import per_pair_of_many

CHUNKS = 5


def random_circuits(model: Model, n: int, branch: bool, n_circuits: int, repeats: int, clock: str) -> Row:
    """A row for n pairs of one task; a chunk is a fifth of the circuits."""
    graph, pairs = graph_of(model), random_pairs(n, 50, branch, model.d_vocab)
    n_edges, chunk = round(graph.n_edges / 100), max(1, n_circuits // CHUNKS)
    masks = connected_circuits(graph, n_edges, chunk, torch.Generator().manual_seed(0))
    runner = circuit_runner(model, pairs, mode="tree")
    runner.per_pair(masks[:1])
    calls = {
        "ours": lambda: per_pair_of_many(runner, masks, "logit_diff"),
        "plain": lambda: [plain_forward(model, pairs) for _ in range(chunk)],
    }
    taken = interleaved(calls, dict.fromkeys(calls, repeats), clock, warm=False)
    scale = n_circuits / chunk
    work = f"{n_circuits} connected circuits of {n_edges} edges, differ {'branch' if branch else 'everywhere'}"
    return Row(work, scale * taken["ours"], scale * taken["plain"], f"{n_circuits} plain forwards", 1.0, True)


def generation(model: Model, n: int, repeats: int, clock: str) -> Row:
    """n passages continued by 25 tokens, with 1 % of the edges intact and with all of them in the plain model."""
    pairs, graph = random_pairs(n, 25, False, model.d_vocab), graph_of(model)
    clean, corrupt = (torch.tensor([getattr(pair, side) for pair in pairs]) for side in ("clean_ids", "corrupt_ids"))
    kept = connected_circuits(graph, round(graph.n_edges / 100), 1, torch.Generator().manual_seed(0))[0]
    calls = {"ours": lambda: decode(model, clean, corrupt, kept, 25), "plain": lambda: greedy(model, clean, 25)}
    taken = interleaved(calls, dict.fromkeys(calls, repeats), clock, warm=False)
    return Row(f"25 tokens for {n} prompts under a circuit", taken["ours"], taken["plain"], "plain generation")


def main() -> None:
    parser = options(__doc__, repeats=3, peer_repeats=3)
    parser.add_argument("--circuits", type=int, default=100)
    chosen = parser.parse_args()
    model, n = model_of(chosen.shape), n_pairs(chosen.shape)
    rows = [
        random_circuits(model, n, branch, chosen.circuits, chosen.repeats, chosen.clock) for branch in (False, True)
    ]
    rows.append(generation(model, 2 * n, chosen.repeats, chosen.clock))
    title = f"Verification, {chosen.shape}, {n} pairs of 50 tokens"
    report(
        result_name("verification", chosen.shape),
        title,
        rows,
        shape=chosen.shape,
        clock=chosen.clock,
        circuits=chosen.circuits,
    )


if __name__ == "__main__":
    main()
