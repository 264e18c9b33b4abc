"""The values p_s that a patched edge carries, and their totals P_d.

For a destination d, P_d = b_d + the sum of all p_s before it, where b_d is the sum of the attention output biases
before d (they belong to no source). Values are kept as :class:`memcirc.engine.outputs.Outputs`, heads as z, totals as
:class:`memcirc.engine.plain.Residuals`; an axis of length 1 is the same for all pairs (or positions).

- ``resample``: the other prompt's activations: the totals are that run's residuals;
- ``twin``: the activations of the other of a model and its twin on the same prompt, with its own output matrices;
- ``zero``: nothing;
- ``mean-clean``, ``mean-corrupt``, ``mean-both``: means over the reference's prompts, position by position, at each
  position over the prompts that reach it;
- ``mean-all``: one mean over both prompts and all positions;
- ``optimal``: constants that start there and are learned (:mod:`memcirc.engine.optimal`).
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from memcirc.decoder.attention import project
from memcirc.decoder.norm import normed
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import Frame, frames
from memcirc.engine.optimal import learned
from memcirc.engine.outputs import Outputs
from memcirc.engine.plain import Heads, Residuals, plain_run
from memcirc.engine.values import Means, Values, at_read_positions, embedding, mean_values, totals_of
from memcirc.interventions import Ablation, RunSettings
from memcirc.models import Model
from memcirc.pairs.record import Pairs

ValuesOf = Callable[[EngineBatch], tuple[Values, Heads | None]]


def ablation_values(
    model: Model,
    pairs: Pairs,
    settings: RunSettings,
    reference: Pairs | None,
    sequence: bool,
    workspace: Workspace,
    whole: bool = False,
) -> ValuesOf:
    """How a batch gets its ablation values, and the queries, keys and values of branches at rest where the same pass
    gives them. Means are taken here, once. With ``whole``, the last block's values are those of all positions.

    Args:
        model: the one that runs; its twin is the other one.
        reference: pairs that means are taken over; default: ``pairs``.

    Raises:
        ValueError: a reference for an ablation that takes no mean.
    """
    asked, weights = settings.ablated, model.weights
    if reference is not None and not asked.means_of:
        raise ValueError(f"ablation {asked.name!r} takes no mean, so it takes no reference pairs")
    if asked.other_prompt:
        other = "corrupt" if settings.prompt == "clean" else "clean"

        def resampled(batch: EngineBatch) -> tuple[Values, Heads | None]:
            run = plain_run(batch, embedding(weights, batch.frame, other), whole)
            return Values(run.outputs, run.residuals), run.heads

        return resampled
    if asked.other_model:
        assert model.twin is not None
        twin = model.twin.weights

        def of_twin(batch: EngineBatch) -> tuple[Values, Heads | None]:
            embed = embedding(twin, batch.frame, settings.prompt)
            outputs = plain_run(replace(batch, weights=twin), embed, whole).outputs
            return Values(outputs, totals_of(weights, outputs, at_read_positions(batch.frame, whole))), None

        return of_twin
    if not asked.means_of:
        values = zeros(weights)
        return lambda batch: (values, None)
    means = means_of(weights, pairs if reference is None else reference, asked, sequence, workspace)
    return lambda batch: (mean_values(weights, batch.frame, means, whole), None)


def rest_heads(weights: Weights, frame: Frame, totals: Residuals) -> Heads:
    """Queries, keys and values of branches that read the totals alone."""
    heads = []
    for layer, total in enumerate(totals.attention):
        attention = weights.blocks[layer].attention
        x = normed(attention.norm, total)
        heads.append(project(attention, x, frame.at_read(x, 2) if layer == len(weights.blocks) - 1 else x))
    return Heads.of_layers(heads)


def means_of(weights: Weights, reference: Pairs, ablation: Ablation, sequence: bool, workspace: Workspace) -> Means:
    """The reference's means, or what is learned from them."""
    if not ablation.learned:
        return mean_outputs(weights, reference, ablation, sequence, workspace)
    means = mean_outputs(weights, reference, ablation, False, workspace)
    return learned(weights, reference, means, ablation.means_of, workspace)


def mean_outputs(weights: Weights, reference: Pairs, ablation: Ablation, sequence: bool, workspace: Workspace) -> Means:
    """Stream the reference once and average the source outputs of its prompts, with their answers where all have one
    and whole answers are read."""
    sequence = sequence and all(pair.answer_sequence_ids for pair in reference)
    sums: list[Tensor] = []
    count = torch.zeros(weights.n_ctx, 1, dtype=torch.float64, device=weights.device)
    for frame in frames(weights, reference, None, share_prefix=False, sequence=sequence):
        width = frame.clean.shape[1]
        for prompt in ablation.means_of:
            batch = EngineBatch(weights, frame, None, workspace)
            run = plain_run(batch, embedding(weights, frame, prompt), whole=True).outputs
            count[:width, 0] += frame.attended.sum(0)
            for i, output in enumerate((run.embed, *run.z, *run.mlp)):
                if i == len(sums):
                    sums.append(count.new_zeros(weights.n_ctx, output.shape[-1]))
                kept = output[:, 0].double() * frame.attended[:, :, None]
                sums[i][:width] += kept.sum(0)
    reached = int((count > 0).sum())
    if not ablation.by_position:
        means = [total.sum(0, keepdim=True) / count.sum() for total in sums]
    else:
        means = [total[:reached] / count[:reached] for total in sums]
    means = [mean.to(weights.stream_dtype) for mean in means]
    n_layers = len(weights.blocks)
    return Means(means[0], tuple(means[1 : 1 + n_layers]), tuple(means[1 + n_layers :]))


def zeros(weights: Weights) -> Values:
    """The values of zero ablation; the totals are biases alone."""
    shape = weights.graph.shape

    def zero(width: int) -> Tensor:
        return torch.zeros(1, 1, 1, width, dtype=weights.stream_dtype, device=weights.device)

    columns = zero(weights.n_heads * weights.d_head)
    outputs = Outputs(
        weights,
        zero(weights.d_model),
        (columns,) * shape.n_layers,
        (zero(weights.d_model),) * (shape.n_layers * shape.has_mlp),
    )
    return Values(outputs, totals_of(weights, outputs))
