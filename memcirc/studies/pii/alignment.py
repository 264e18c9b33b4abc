"""The alignment report of two models: :mod:`memcirc.alignment` on the study's prompts, and whose residual goes with
whose unembedding.

The answer's log-probability from {last residual of one or the other} x {final norm and unembedding of one or the
other}: if the bases agree, mixed pairs lie between the pure ones.
"""

from dataclasses import dataclass

import torch

from memcirc.alignment import Alignment, of_streams
from memcirc.patching.measures import Question
from memcirc.patching.runs import run
from memcirc.patching.sides import Comparison


@dataclass(frozen=True)
class SwappedAlignment(Alignment):
    """``swaps``: mean log-probability of the answer by whose residual and whose unembedding."""

    swaps: dict[str, float]


def align(comparison: Comparison, question: Question) -> SwappedAlignment:
    """The alignment report of two runs whose one metric is the log-probability of whole answers."""
    base, source = comparison.base, comparison.source
    runs = {
        "control": run(base.weights, base.prompts, ["resid_pre"]),
        "target": run(source.weights, source.prompts, ["resid_pre"]),
    }
    width = base.prompts.ids.shape[1]
    real = torch.arange(width, device=base.prompts.ids.device) < base.prompts.lengths[:, None]
    streams = {
        name: [
            *(found.found["resid_pre", layer][real] for layer in range(comparison.n_layers)),
            found.final.flatten(0, 1),
        ]
        for name, found in runs.items()
    }
    cosine, cka = of_streams(zip(*streams.values(), strict=True))
    examples = torch.arange(len(base.prompts), device=base.prompts.ids.device)
    swaps = {
        f"residual of the {name}, unembedding of the {head}": float(
            question.of_final(side.weights, runs[name].final, examples)[0].mean()
        )
        for name in runs
        for head, side in (("control", base), ("target", source))
    }
    return SwappedAlignment(cosine, cka, swaps)
