"""mask-ig with k = 5 over all edges: ours, AutoCircuit's, and five plain forward-backward passes.

    python -m benchmarks.attribution [--shape gpt2-small] [--repeats 3] [--peer-repeats 3]
"""

import argparse

from benchmarks.cases import random_model, random_pairs
from benchmarks.peers import AutoCircuit, forward_backward
from benchmarks.timing import Row, interleaved, print_table, write_result
from memcirc.engine import mask_gradients

ALPHAS = [i / 5 for i in range(6)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="gpt2-small")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=3, help="of AutoCircuit, which is slow; 0 leaves it out")
    options = parser.parse_args()
    model = random_model(options.shape)
    rows = []
    for branch, target in ((False, 15.0), (True, 120.0)):
        pairs = random_pairs(8, 50, branch)
        name = "branch pairs" if branch else "pairs that differ everywhere"
        calls = {
            "ours": lambda pairs=pairs: mask_gradients(model, pairs, ALPHAS, "logit_diff"),
            "passes": lambda pairs=pairs: [forward_backward(model, pairs) for _ in range(5)],
        }
        repeats = {"ours": options.repeats, "passes": options.repeats}
        if options.peer_repeats:
            peer = AutoCircuit(model, pairs)
            calls["AutoCircuit"] = lambda peer=peer: peer.mask_ig(5)
            repeats["AutoCircuit"] = options.peer_repeats
        taken = interleaved(calls, repeats)
        if not branch:
            rows.append(Row(f"mask-ig k=5, {name}", taken["ours"], taken["passes"], "5 fwd-bwd", 1.75, True))
        if options.peer_repeats:
            rows.append(Row(f"mask-ig k=5, {name}", taken["ours"], taken["AutoCircuit"], "AutoCircuit", target))
    print_table(f"Attribution, {options.shape}, 8 pairs of 50 tokens", rows)
    write_result("attribution", rows, shape=options.shape)


if __name__ == "__main__":
    main()
