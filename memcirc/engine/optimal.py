"""Optimal ablation (Li and Janson 2024): one constant for each source, learned.

Minimised over the constants p_s of all sources together is the mean, over the prompts of reference pairs and over
random circuits, of

    KL(model || model in which every edge outside the circuit carries its source's constant)

at the position where the pair's answer is read. A circuit keeps each edge with probability u, where u is uniform on
[0, 1], and is drawn anew for each prompt in each step; so one set of constants serves circuits of every size, where Li
and Janson learn one for each circuit. A constant is the same at every position; a head's is a z'
(:mod:`memcirc.decoder.attention`), so that it is something that the head can write. ``STEPS`` steps of Adam start at
the means over all prompts and positions, a source's step in units of how far its outputs stray from their mean, and end
at a size of 0; draws and order are those of one seed.

With every edge kept no constant is read. The gradient is exact: dL/dp_s = sum over d of (1 - k_sd) dL/dx_d, summed over
positions and prompts.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import head_outputs
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.adam import Adam
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import frames
from memcirc.engine.masked import forward
from memcirc.engine.masked_backward import backward
from memcirc.engine.objective import compared_logits, objective_values
from memcirc.engine.outputs import Outputs
from memcirc.engine.plain import plain_run
from memcirc.engine.values import Means, embedding, mean_values
from memcirc.metrics import Metric
from memcirc.pairs.record import Pairs

STEPS, BATCH, RATE = 100, 16, 0.05
KL = Metric.parse("kl")


def learned(weights: Weights, reference: Pairs, means: Means, prompts: Sequence[str], workspace: Workspace) -> Means:
    """The constants of a reference's ``prompts`` (``clean``, ``corrupt``), from its ``means`` over all positions.

    Raises:
        ValueError: a loss that is not finite.
    """
    generator = torch.Generator().manual_seed(0)
    batches = [
        (EngineBatch(weights, frame, None, workspace), embedding(weights, frame, prompt))
        for frame in frames(weights, reference, BATCH, share_prefix=False, sequence=False)
        for prompt in prompts
    ]
    start, adam = flat(means), Adam(RATE)
    order: list[int] = []
    moved, unit = torch.zeros_like(start), _strays(batches[0], means)
    for step in range(STEPS):
        order = order or torch.randperm(len(batches), generator=generator).tolist()
        batch, embed = batches[order.pop()]
        kept = circuits(len(batch.frame), weights.graph.n_edges, generator).to(start)
        loss, gradient = slope(batch, embed, unflat(start + unit * moved, means), weights.graph.to_matrix(kept))
        if not loss.isfinite():
            raise ValueError(f"ablation 'optimal': the loss of step {step + 1} of {STEPS} is {float(loss)}")
        moved = moved - (1 - step / STEPS) * adam.step(flat(gradient) * unit)
    return unflat(start + unit * moved, means)


def circuits(n: int, n_edges: int, generator: torch.Generator) -> Float[Tensor, "n n_edges"]:
    """Random circuits of random sizes, 1 for an edge that is kept."""
    share = torch.rand(n, 1, generator=generator)
    return (torch.rand(n, n_edges, generator=generator) < share).float()


def slope(
    batch: EngineBatch, embed: Tensor, constants: Means, kept: Float[Tensor, "draw dst src"]
) -> tuple[Tensor, Means]:
    """The mean loss of a batch of prompts, given by their embeddings, and its gradient at the constants."""
    weights, graph = batch.weights, batch.weights.graph
    itself = plain_run(batch, embed).residuals.final
    reference = compared_logits(weights, itself)
    tape = forward(batch, embed, mean_values(weights, batch.frame, constants), kept)
    with torch.enable_grad():
        final = tape.final.detach().requires_grad_(True)
        loss = objective_values(weights, batch.frame, final, KL, reference).mean()
        (at_final,) = torch.autograd.grad(loss, final)
    at_inputs = backward(batch, tape, at_final, of_inputs=True).inputs
    assert at_inputs is not None
    edges = graph.to_matrix(kept.new_ones(graph.n_edges))
    at_sources = torch.einsum("kds,kdm->sm", edges - kept, at_inputs)
    heads = [
        (head_outputs(weights, layer).to(at_sources) @ at_sources[graph.heads(layer), :, None]).flatten()[None]
        for layer in range(graph.shape.n_layers)
    ]
    mlps = [at_sources[graph.heads(layer).stop][None] for layer in range(len(constants.mlp))]
    return loss.detach(), Means(at_sources[:1], tuple(heads), tuple(mlps))


def flat(means: Means) -> Float[Tensor, " numbers"]:
    """All constants, or what is said of each, in one row."""
    return torch.cat([part[0] for part in (means.embed, *means.z, *means.mlp)])


def unflat(row: Float[Tensor, " numbers"], like: Means) -> Means:
    """The inverse of :func:`flat`."""
    sizes = [part.shape[1] for part in (like.embed, *like.z, *like.mlp)]
    parts = [part[None] for part in row.split(sizes)]
    return Means(parts[0], tuple(parts[1 : 1 + len(like.z)]), tuple(parts[1 + len(like.z) :]))


def _strays(prepared: tuple[EngineBatch, Tensor], means: Means) -> Float[Tensor, " numbers"]:
    """How far what sources write strays from the means, one number for each layer's heads and for each MLP."""
    batch, embed = prepared
    found: Outputs = plain_run(batch, embed, whole=True).outputs
    attended = batch.frame.attended[..., None]
    distances = []
    for own, mean in zip((found.embed, *found.z, *found.mlp), (means.embed, *means.z, *means.mlp), strict=True):
        squares = (own[:, 0] - mean).square() * attended
        distances.append((squares.sum() / (attended.sum() * mean.shape[1])).sqrt().expand_as(mean))
    return flat(Means(distances[0], tuple(distances[1 : 1 + len(means.z)]), tuple(distances[1 + len(means.z) :])))
