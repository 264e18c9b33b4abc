"""mask-ig with k = 5 over all edges: ours, AutoCircuit's, and five plain forward-backward passes.

python -m benchmarks.attribution [--shape gpt2-small] [--repeats 3] [--peer-repeats 3]
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.cases import random_model, random_pairs
from benchmarks.peers import AutoCircuit, forward_backward
from benchmarks.timing import Row, interleaved, print_table, write_result
from memcirc.engine import mask_gradients
from memcirc.models import Model

ALPHAS = [i / 5 for i in range(6)]


def measure(model: Model, branch: bool, repeats: int, peer_repeats: int) -> list[Row]:
    pairs = random_pairs(8, 50, branch)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: mask_gradients(model, pairs, ALPHAS, "logit_diff"),
        "passes": lambda: [forward_backward(model, pairs) for _ in range(5)],
    }
    if peer_repeats:
        peer = AutoCircuit(model, pairs)
        calls["peer"] = partial(peer.mask_ig, 5)
    taken = interleaved(calls, {name: peer_repeats if name == "peer" else repeats for name in calls})
    work = f"mask-ig k=5, pairs that differ {'in the last token' if branch else 'everywhere'}"
    rows = [] if branch else [Row(work, taken["ours"], taken["passes"], "5 fwd-bwd", 1.75, True)]
    if peer_repeats:
        rows.append(Row(work, taken["ours"], taken["peer"], "AutoCircuit", 120.0 if branch else 15.0))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="gpt2-small")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=3, help="of AutoCircuit, which is slow; 0 leaves it out")
    options = parser.parse_args()
    model = random_model(options.shape)
    rows = []
    for branch in (False, True):
        rows += measure(model, branch, options.repeats, options.peer_repeats)
    print_table(f"Attribution, {options.shape}, 8 pairs of 50 tokens", rows)
    write_result("attribution", rows, shape=options.shape)


if __name__ == "__main__":
    main()
