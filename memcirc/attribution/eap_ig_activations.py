"""EAP-IG over activations (Hanna et al. 2024): one group of sources at a time is put between its ablated and its clean
output, everything else follows, and the gradients of all edges meet fixed differences.

    score of s -> d = 1/(m G) sum over groups, and over a = i/m for i = 1..m, of <dL/dx_d, p_s - c_s>

where the G groups are the embedding, the heads of each layer and each MLP, and a group's output is p + a (c - p).
Nothing flows back through an output that was put in place.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from memcirc.attribution.method import Method
from memcirc.engine.outputs import Outputs
from memcirc.engine.request import Request
from memcirc.engine.scoring import ScoredBatch, Scoring


def activation_gradients(request: Request) -> Tensor:
    """Edge scores; ValueError for fewer than one step."""
    steps = request.steps
    if steps < 1:
        raise ValueError(f"steps {steps} is out of range; accepted: 1 and above")
    with torch.inference_mode(False), torch.no_grad():
        scoring = Scoring(request)
        shape = scoring.weights.graph.shape
        n_groups = 1 + shape.n_layers * (1 + shape.has_mlp)
        for batch in scoring:
            outputs = batch.plain_outputs()
            differences = batch.differences(outputs)
            for some in batch.chunks([i / steps for i in range(1, steps + 1)]):
                for name, between in _groups(batch, outputs, some.view(1, -1, 1, 1)):
                    replaced = {} if name == "input" else {name: between}
                    embed = between if name == "input" else None
                    tape = batch.forward(torch.zeros_like(some), embed, replaced)
                    batch.add(tape, differences, replaced=replaced)
        return scoring.mean() / (steps * n_groups)


def _groups(batch: ScoredBatch, clean: Outputs, share: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Each group's name and what it writes between ablated and clean, [batch, variant, pos, d_model]."""
    ablated = batch.values.outputs

    def between(before: Tensor, after: Tensor) -> Tensor:
        return torch.lerp(before.to(share.dtype), after.to(share.dtype), share)

    yield "input", between(ablated.embed, clean.embed)
    for layer in range(batch.weights.graph.shape.n_layers):
        writes = (outputs.attention_write(layer, batch.weights) for outputs in (ablated, clean))
        yield f"a{layer}", between(*writes)
    for layer, (before, after) in enumerate(zip(ablated.mlp, clean.mlp, strict=True)):
        yield f"m{layer}", between(before, after)


METHOD = Method(activation_gradients, engines=("native",))
