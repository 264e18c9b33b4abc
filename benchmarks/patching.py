"""Activation patching: our sweeps beside ``transformer_lens.patching``, and the study of two models beside its loop.

python -m benchmarks.patching [--shape gpt2-small] [--repeats 3] [--peer-repeats 1] [--clock wall]
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformer_lens import patching

from benchmarks.cases import model_of
from benchmarks.timing import Row, interleaved, options, print_table, write_result
from memcirc.models import Model
from memcirc.patching.sweep import patch_sweep

LENGTH = 15
PEERS = {
    "resid_pre": patching.get_act_patch_resid_pre,
    "head_all_pos_every": patching.get_act_patch_attn_head_all_pos_every,
}


def prompt_pair(d_vocab: int, differing: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """One clean and one corrupt prompt that differ at the given positions."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, d_vocab, (1, LENGTH), generator=generator)
    corrupt = clean.clone()
    corrupt[:, list(differing)] = (clean[:, list(differing)] + 1) % d_vocab
    return clean, corrupt


def peer(model: Model, name: str, clean: Tensor, corrupt: Tensor) -> Tensor:
    """The sweep as TransformerLens does it: a full forward pass a site, its cache of the clean run included."""
    hooked = model.hooked

    def metric(logits: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return (logits[:, -1, 0].mean() - logits[:, -1, 1].mean() - low) / (high - low)

    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        logits, cache = hooked.run_with_cache(clean, prepend_bos=False)
        high = logits[:, -1, 0].mean() - logits[:, -1, 1].mean()
        logits = hooked(corrupt, prepend_bos=False)
        low = logits[:, -1, 0].mean() - logits[:, -1, 1].mean()
        found: Tensor = PEERS[name](hooked, corrupt, cache, partial(metric, low=low, high=high))
    return found


def ours(model: Model, name: str, clean: Tensor, corrupt: Tensor) -> Tensor:
    """The same sweep from one call, self-tests included."""
    return torch.from_numpy(patch_sweep(model, clean, corrupt, [0], [1], sites=name).matrix())


def measure(
    model: Model, name: str, differing: Sequence[int], target: float, chosen: Any, what: str
) -> tuple[Row, float]:
    """The ratio, and the largest difference between both results (normalised)."""
    clean, corrupt = prompt_pair(model.d_vocab, differing)
    results: dict[str, Tensor] = {}

    def keep(key: str, call: Callable[..., Tensor]) -> Callable[[], None]:
        def run() -> None:
            results[key] = call(model, name, clean, corrupt)

        return run

    taken = interleaved(
        {"ours": keep("ours", ours), "peer": keep("peer", peer)},
        {"ours": chosen.repeats, "peer": chosen.peer_repeats},
        chosen.clock,
    )
    difference = float((results["ours"] - results["peer"].double()).abs().max())
    return Row(f"{name}, {what}", taken["ours"], taken["peer"], "transformer_lens.patching", target), difference


def main() -> None:
    chosen = options(__doc__, repeats=3, peer_repeats=1).parse_args()
    model = model_of(chosen.shape)
    everywhere, one = range(LENGTH), [LENGTH - 5]
    cases: list[tuple[str, Sequence[int], float, str]] = [
        ("resid_pre", everywhere, 25.0, "differ everywhere"),
        ("resid_pre", one, 60.0, "differ at one position"),
        ("head_all_pos_every", everywhere, 20.0, "differ everywhere"),
        ("head_all_pos_every", one, 20.0, "differ at one position"),
    ]
    measured = [measure(model, name, where, target, chosen, what) for name, where, target, what in cases]
    rows = [row for row, _ in measured]
    print_table(f"Activation patching, {chosen.shape}, one pair of {LENGTH} tokens", rows)
    differences = {row.work: difference for row, difference in measured}
    for work, difference in differences.items():
        print(f"{work}: results differ by at most {difference:.1e} (normalised)")
    write_result("patching", rows, shape=chosen.shape, clock=chosen.clock, differences=differences)


if __name__ == "__main__":
    main()
