"""Plain runs: what every source outputs when nothing is patched, and the keys and values of shared prefixes."""

from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import KeyValue, join_heads, project, written
from memcirc.decoder.block import Steps, run_blocks
from memcirc.decoder.forward import Forward
from memcirc.decoder.mlp import feed
from memcirc.decoder.norm import normed
from memcirc.decoder.weights import Weights
from memcirc.decoder.workspace import Workspace
from memcirc.engine.batch import EngineBatch, Prefix
from memcirc.engine.frame import Frame, batch_bytes
from memcirc.engine.outputs import Outputs

BYTES_A_TOKEN = 256 << 10
"""A pass over prefixes takes as many tokens at a time as :func:`memcirc.engine.frame.batch_bytes` has of these, 1,024
on a CPU."""


@dataclass(frozen=True, eq=False)
class Residuals:
    """What the branches read in one run, [batch, variant, pos, d_model]: the residual before each attention, before
    each MLP (at the read positions in the last block) and before the final norm (at the read positions)."""

    attention: tuple[Float[Tensor, "_ _ _ d_model"], ...]
    mlp: tuple[Float[Tensor, "_ _ _ d_model"], ...]
    final: Float[Tensor, "_ _ _ d_model"]


@dataclass(frozen=True, eq=False)
class Heads:
    """Queries, keys (neither normed nor turned yet) and values of every layer, [batch, head, variant, pos, d_head]; the
    last layer's queries at the read positions."""

    query: tuple[Float[Tensor, "_ _ _ _ d_head"], ...]
    key: tuple[Float[Tensor, "_ _ _ _ d_head"], ...]
    value: tuple[Float[Tensor, "_ _ _ _ d_head"], ...]

    @classmethod
    def of_layers(cls, layers: list[tuple[Tensor, Tensor, Tensor]]) -> "Heads":
        """From each layer's queries, keys and values."""
        return cls(*(tuple(layer[which] for layer in layers) for which in range(3)))


@dataclass(frozen=True, eq=False)
class PlainRun:
    outputs: Outputs
    residuals: Residuals
    heads: Heads


def plain_run(batch: EngineBatch, embed: Tensor, whole: bool = False) -> PlainRun:
    """Run the model over a frame's suffixes.

    Args:
        embed: float [batch, variant, pos, d_model], output of the source ``input``.
        whole: compute the last block at all positions (means over positions need it).
    """
    weights, frame = batch.weights, batch.frame
    zs: list[Tensor] = []
    mlps: list[Tensor] = []
    before_attention: list[Tensor] = []
    before_mlp: list[Tensor] = []
    heads: list[tuple[Tensor, Tensor, Tensor]] = []

    def attention(layer: int, residual: Tensor) -> Tensor:
        part, reading = weights.blocks[layer].attention, layer == batch.last and not whole
        x = normed(part.norm, residual)
        query, key, value = project(part, x, frame.at_read(x, 2) if reading else x)
        turned_query, turned_key = batch.turned_query(layer, query, reading), batch.turned_key(layer, key)
        z, _ = batch.attended(layer, turned_query, turned_key, value, reading)
        own, write, _ = written(part, join_heads(z))
        before_attention.append(residual)
        heads.append((query, key, value))
        zs.append(own)
        return write

    def mlp(layer: int, residual: Tensor) -> Tensor:
        part = weights.blocks[layer].mlp
        assert part is not None
        before_mlp.append(residual)
        mlps.append(feed(part, normed(part.norm, residual), batch.workspace)[0])
        return mlps[-1]

    def trim(layer: int, residual: Tensor) -> Tensor:
        return frame.at_read(residual, 2) if layer == batch.last and not whole else residual

    residual = run_blocks(weights, embed, Steps(attention, mlp, trim))
    if whole or not weights.blocks:
        residual = frame.at_read(residual, 2)
    return PlainRun(
        Outputs(weights, embed, tuple(zs), tuple(mlps)),
        Residuals(tuple(before_attention), tuple(before_mlp), residual),
        Heads.of_layers(heads),
    )


def prefix_pass(weights: Weights, frame: Frame, workspace: Workspace, store: Workspace) -> Prefix:
    """Keys and values of what each pair's prompts have in common; None where they have nothing. They last until
    ``store`` is used for another batch. So many pairs at a time that what a pass needs for a moment is little beside
    what is kept."""
    n_pairs, width = frame.prefix.shape
    if not width:
        return None
    entries: dict[int, KeyValue] = {}

    def keep(rows: slice, layer: int, key: Tensor, value: Tensor) -> None:
        """A copy apart from the queries that were computed with it."""
        kept = store.take(f"prefix {layer}", (2, n_pairs, *key.shape[1:]), key.dtype)
        kept[0, rows], kept[1, rows] = key, value
        entries[layer] = KeyValue(kept[0], kept[1])

    at_once = max(1, batch_bytes(weights.device) // (BYTES_A_TOKEN * width))
    for first in range(0, n_pairs, at_once):
        rows = slice(first, first + at_once)
        Forward(weights, frame.prefix[rows], workspace, partial(keep, rows)).keys_and_values()
    return list(entries.values())
