"""The baseline that asks no gradient: how far each source's ablation value is from its clean output.

score of s -> d = mean over pairs of the mean over positions of |p_s - c_s|
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from memcirc.attribution.method import Method
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.ablation import ablation_values
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import frames
from memcirc.engine.outputs import Outputs
from memcirc.engine.plain import plain_run
from memcirc.engine.request import Request
from memcirc.engine.values import embedding


def difference_norms(request: Request) -> Tensor:
    """Edge scores, float [n_edges] or [pairs, n_edges], as the request asks."""
    weights = request.model.weights
    workspace = Workspace(weights.device)
    rows = torch.zeros(
        len(request.pairs), len(weights.graph.sources), dtype=weights.stream_dtype, device=weights.device
    )
    with torch.inference_mode(False), torch.no_grad():
        values_of = ablation_values(
            request.model, request.pairs, request.settings, request.reference, False, workspace, whole=True
        )
        for frame in frames(weights, request.pairs, request.batch_size, share_prefix=False, sequence=False):
            batch = EngineBatch(weights, frame, None, workspace)
            values, _ = values_of(batch)
            clean = plain_run(batch, embedding(weights, frame, "clean"), whole=True).outputs
            attended = frame.attended.to(weights.stream_dtype)
            for source, norms in enumerate(_norms(weights, values.outputs, clean)):
                rows[frame.index, source] = (norms * attended).sum(1) / attended.sum(1)
    scores = rows[:, weights.graph.edge_source.to(rows.device)]
    return scores if request.per_example else scores.mean(0)


def _norms(weights: Weights, ablated: Outputs, clean: Outputs) -> Iterator[Tensor]:
    """|p_s - c_s| [batch, pos] of each source, in their order."""
    yield (ablated.embed - clean.embed)[:, 0].norm(dim=-1)
    for layer in range(weights.graph.shape.n_layers):
        difference = ablated.heads(layer).minus(clean.heads(layer))
        for head in range(weights.n_heads):
            yield difference.of([head]).sum()[:, 0].norm(dim=-1)
        if clean.mlp:
            yield (ablated.mlp[layer] - clean.mlp[layer])[:, 0].norm(dim=-1)


METHOD = Method(difference_norms, engines=("native",))
