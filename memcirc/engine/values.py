"""What ablated edges carry, as records: the values of sources and their totals, and constants or means by position."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from memcirc.decoder.block import Steps, run_blocks
from memcirc.decoder.weights import Weights
from memcirc.engine.frame import Frame
from memcirc.engine.outputs import Outputs
from memcirc.engine.plain import Residuals


@dataclass(frozen=True, eq=False)
class Values:
    """Ablation values of a batch and their totals."""

    outputs: Outputs
    totals: Residuals


@dataclass(frozen=True, eq=False)
class Means:
    """Mean source outputs [pos, ...] of a reference set; one position where the mean runs over positions."""

    embed: Tensor
    z: tuple[Tensor, ...]
    mlp: tuple[Tensor, ...]

    @property
    def constant(self) -> bool:
        return len(self.embed) == 1

    def outputs(self, weights: Weights) -> Outputs:
        """What sources write, with axes for pairs and variants; of constants the same at every position."""
        embed, z, mlp = (tuple(x[None, None] for x in group) for group in ((self.embed,), self.z, self.mlp))
        return Outputs(weights, embed[0], z, mlp)


def embedding(weights: Weights, frame: Frame, prompt: str) -> Tensor:
    """float [batch, 1, pos, d_model], output of ``input`` on the ``clean`` or ``corrupt`` prompt."""
    ids = frame.clean if prompt == "clean" else frame.corrupt
    return weights.embed(ids, frame.position)[:, None]


def mean_values(weights: Weights, frame: Frame, means: Means, whole: bool = False) -> Values:
    """A reference's means at the positions of a batch.

    Raises:
        ValueError: a pair is longer than every prompt of the reference.
    """
    if means.constant:
        outputs = means.outputs(weights)
        return Values(outputs, totals_of(weights, outputs))
    longest = int(frame.position.max()) + 1
    if longest > len(means.embed):
        raise ValueError(
            f"a pair has {longest} positions but the reference's longest prompt {len(means.embed)}; "
            "means per position need a reference at least as long (or use mean-all)"
        )
    read = frame.position if whole else frame.at_read(frame.position, 1)
    where = [frame.position] * (len(weights.blocks) - 1) + [read]
    outputs = Outputs(
        weights,
        means.embed[frame.position][:, None],
        tuple(z[position][:, None] for z, position in zip(means.z, where, strict=True)),
        tuple(m[position][:, None] for m, position in zip(means.mlp, where, strict=bool(means.mlp))),
    )
    return Values(outputs, totals_of(weights, outputs, at_read_positions(frame, whole)))


def at_read_positions(frame: Frame, whole: bool) -> Callable[[Tensor], Tensor]:
    """What becomes of a residual behind the last attention: its read positions, or with ``whole`` all."""
    return lambda x: x if whole else frame.at_read(x, 2)


def totals_of(weights: Weights, outputs: Outputs, at_read: Callable[[Tensor], Tensor] = lambda x: x) -> Residuals:
    """P_d of all destinations, from the values themselves; the biases are those of the running model, ``weights``."""
    before_attention: list[Tensor] = []
    before_mlp: list[Tensor] = []

    def attention(layer: int, total: Tensor) -> Tensor:
        before_attention.append(total)
        return outputs.attention_write(layer, weights)

    def mlp(layer: int, total: Tensor) -> Tensor:
        before_mlp.append(total)
        return outputs.mlp[layer]

    def trim(layer: int, total: Tensor) -> Tensor:
        return at_read(total) if layer == len(weights.blocks) - 1 else total

    final = run_blocks(weights, outputs.embed, Steps(attention, mlp, trim))
    return Residuals(tuple(before_attention), tuple(before_mlp), final)
