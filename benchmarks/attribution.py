"""mask-ig with k = 5 over all edges: ours, AutoCircuit's, and five plain forward-backward passes; and a step of learned
masks (forward and backward with a mask for every edge, one draw for each pair) beside one of these passes.

python -m benchmarks.attribution [--shape gpt2-small] [--repeats 3] [--peer-repeats 1] [--clock wall]
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.cases import model_of, n_pairs, random_pairs
from benchmarks.peers import AutoCircuit, forward_backward
from benchmarks.timing import Row, interleaved, options, report, result_name
from memcirc.engine import Request, mask_gradients
from memcirc.engine.fidelity import Fidelity
from memcirc.models import Model
from memcirc.pairs.record import Pairs

ALPHAS = [i / 5 for i in range(6)]
MOST_PASSES = {"gpt2-small": 1.35}
"""Targets for five steps over five passes, by shape; 1.6 for others."""


def measure(
    model: Model, n: int, branch: bool, repeats: int, peer_repeats: int, clock: str, most_passes: float
) -> list[Row]:
    pairs = random_pairs(n, 50, branch, model.d_vocab)
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: mask_gradients(Request(model, pairs, "logit_diff"), ALPHAS),
        "passes": lambda: [forward_backward(model, pairs) for _ in range(5)],
    }
    if peer_repeats:
        peer = AutoCircuit(model, pairs)
        calls["peer"] = partial(peer.mask_ig, 5)
    step = step_of(model, pairs)
    calls |= {"step": step, "pass": lambda: forward_backward(model, pairs)}
    taken = interleaved(calls, {name: peer_repeats if name == "peer" else repeats for name in calls}, clock)
    work = f"mask-ig k=5, pairs that differ {'in the last token' if branch else 'everywhere'}"
    rows = [] if branch else [Row(work, taken["ours"], taken["passes"], "5 fwd-bwd", most_passes, True)]
    work = f"learned masks, a step, pairs that differ {'in the last token' if branch else 'everywhere'}"
    rows.append(Row(work, taken["step"], taken["pass"], "fwd-bwd", 1.6, True))
    if peer_repeats:
        work = f"mask-ig k=5, pairs that differ {'in the last token' if branch else 'everywhere'}"
        rows.append(Row(work, taken["ours"], taken["peer"], "AutoCircuit", 120.0 if branch else 15.0))
    return rows


def step_of(model: Model, pairs: Pairs) -> Callable[[], Any]:
    """A step of learned masks but for the draw: the loss of all pairs, and its gradient at the masks of each."""
    fidelity = Fidelity(Request(model, pairs, "logit_diff"), len(pairs))
    masks = torch.rand(len(pairs), model.weights.graph.n_edges, generator=torch.Generator().manual_seed(0))
    masks = masks.to(model.device)
    return lambda: fidelity.slope(0, masks)


def main() -> None:
    chosen = options(__doc__, repeats=3, peer_repeats=1).parse_args()
    model = model_of(chosen.shape)
    rows = []
    for branch in (False, True):
        most = MOST_PASSES.get(chosen.shape, 1.6)
        rows += measure(model, n_pairs(chosen.shape), branch, chosen.repeats, chosen.peer_repeats, chosen.clock, most)
    title = f"Attribution, {chosen.shape}, {n_pairs(chosen.shape)} pairs of 50 tokens"
    report(result_name("attribution", chosen.shape), title, rows, shape=chosen.shape, clock=chosen.clock)


if __name__ == "__main__":
    main()
