"""The backward pass of :mod:`memcirc.engine.masked`: gradients of all masks, and at the inputs of all destinations.

From the logits up, with dL/ddelta_s collected for every source: 1. the MLP of a layer, whose gradient goes on to the
heads of its own layer at once; 2. its attention, each head from what it writes to its own three inputs, by the steps of
:mod:`memcirc.engine.backward`; 3. two products of the layer's gradients, with its masks for the sources before it, and
with what sources wrote for the masks.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.attention import head_outputs, join_heads, split_heads, written
from memcirc.engine.backward import AttentionBackward, mlp_gradient
from memcirc.engine.batch import EngineBatch
from memcirc.engine.masked import MaskedTape, unflattened
from memcirc.engine.mixing import Masks, Rows, Slots, mix_into


@dataclass(frozen=True, eq=False)
class MaskedGradients:
    """Of a loss: ``masks`` dL/dk, without meaning where there is no edge; ``inputs`` the gradients at all x_d, summed
    over positions and over the pairs of a draw, where they were asked for."""

    masks: Masks
    inputs: Float[Tensor, "draw dst d_model"] | None


def backward(
    batch: EngineBatch, tape: MaskedTape, gradient: Float[Tensor, "batch 1 step d_model"], of_inputs: bool = False
) -> MaskedGradients:
    """The gradients of a loss, given its ``gradient`` at the final residual."""
    graph, masks = batch.weights.graph, tape.masks
    inputs = masks.new_zeros(*masks.shape[:2], batch.weights.d_model) if of_inputs else None
    run = _Run(batch, tape, Slots(batch, "delta gradients"), MaskedGradients(torch.zeros_like(masks), inputs))
    sources = slice(0, len(graph.sources))
    of_logits = masks[:, -1].T[..., None, None, None]
    torch.mul(of_logits, gradient, out=run.reached.of(sources, True))
    run.record([len(graph.destinations) - 1], gradient[None], sources.stop, True)
    for layer in reversed(range(len(batch.weights.blocks))):
        run.layer(layer)
    return run.found


@dataclass(frozen=True, eq=False)
class _Run:
    """``reached`` are the gradients at what sources write."""

    batch: EngineBatch
    tape: MaskedTape
    reached: Slots
    found: MaskedGradients

    def record(self, members: list[int], gradients: Rows, n_visible: int, reading: bool) -> None:
        """The gradients of the masks of some destinations, which read at most ``n_visible`` sources."""
        n_draws = len(self.tape.masks)
        of_masks = self.tape.deltas.products(gradients, n_visible, n_draws, reading)
        self.found.masks[:, members, :n_visible] = of_masks
        if self.found.inputs is not None:
            summed = gradients.sum((2, 3)).transpose(0, 1)
            self.found.inputs[:, members] = summed if n_draws > 1 else summed.sum(0, keepdim=True)

    def layer(self, layer: int) -> None:
        batch, graph = self.batch, self.batch.weights.graph
        shape, rows, heads = graph.shape, graph.rows(layer), graph.heads(layer)
        apart = layer == batch.last and not batch.frame.reads_everything
        n_q, n_kv = shape.n_heads, shape.n_kv_heads
        queries = [*range(rows.query.start, rows.query.stop)]
        keys_values, mlp = [*range(rows.key.start, rows.value.stop)], [rows.mlp] * shape.has_mlp
        from_mlp = self._mlp(layer, apart) if mlp else None
        into = _HeadInputGradients(batch, self.tape, layer, self._at_outputs(layer, self.reached.of(heads, apart)))
        if apart:
            room = self._room([*queries, *mlp], True)
            into(room[:n_q], 0)
            self._on(layer, [*queries, *mlp], room, from_mlp, True)
            self.reached.read_to_whole()
            room = self._room(keys_values, False)
            into(room[:n_kv], 1)
            into(room[n_kv:], 2)
            self._on(layer, keys_values, room, None, False)
        else:
            room = self._room([*queries, *keys_values, *mlp], False)
            for which, part in enumerate(room[: n_q + 2 * n_kv].split([n_q, n_kv, n_kv])):
                into(part, which)
            self._on(layer, [*queries, *keys_values, *mlp], room, from_mlp, False)

    def _room(self, members: list[int], reading: bool) -> Rows:
        size = len(members), *(self.reached.read if reading else self.reached.whole).shape[1:]
        return self.batch.workspace.take(f"input gradients {reading}", size, self.batch.weights.stream_dtype)

    def _on(self, layer: int, members: list[int], gradients: Rows, from_mlp: Tensor | None, reading: bool) -> None:
        """Step 3, the MLP's gradient being the last where there is one."""
        graph = self.batch.weights.graph
        if from_mlp is not None:
            gradients[-1] = from_mlp
        self.record(members, gradients, graph.n_visible[members[-1]], reading)
        before = slice(0, graph.heads(layer).start)
        masks = self.tape.masks[:, members, before].transpose(1, 2)
        mix_into(self.reached.of(before, reading), masks, gradients)

    def _mlp(self, layer: int, reading: bool) -> Float[Tensor, "batch 1 pos d_model"]:
        """Step 1: the gradient at the MLP's input."""
        graph, tape = self.batch.weights.graph, self.tape.layers[layer].mlp
        heads = graph.heads(layer)
        assert tape is not None
        gradient = mlp_gradient(self.batch, layer, tape, self.reached.of(slice(heads.stop, heads.stop + 1), reading)[0])
        if not graph.shape.parallel:
            masks = self.tape.masks[:, graph.rows(layer).mlp, heads, None]
            mix_into(self.reached.of(heads, reading), masks, gradient[None])
        return gradient

    def _at_outputs(self, layer: int, gradients: Rows) -> Float[Tensor, "batch head 1 pos d_head"]:
        """The gradient at z from those at what each head writes."""
        weights, z = self.batch.weights, self.tape.layers[layer].attention.z
        part, matrices = weights.blocks[layer].attention, head_outputs(weights, layer)
        flat = torch.bmm(gradients.flatten(1, 3).to(matrices.dtype), matrices.transpose(1, 2))
        of_own = unflattened(flat, gradients)
        if part.post is None:
            return of_own if part.multiplier == 1 else of_own * part.multiplier
        with torch.enable_grad():
            joined = join_heads(z).detach().requires_grad_(True)
            (dz,) = torch.autograd.grad(written(part, joined)[0], joined, join_heads(of_own))
        return split_heads(dz, weights.d_head)


class _HeadInputGradients:
    """Step 2: gradients at the inputs of a layer's queries (0), keys (1) or values (2), given that at z."""

    def __init__(self, batch: EngineBatch, tape: MaskedTape, layer: int, at_outputs: Tensor) -> None:
        self._back = AttentionBackward(batch, layer, tape.layers[layer].attention)
        self._inputs = tape.layers[layer].inputs
        turned, self._gradients = self._back.through(at_outputs)
        self._along = self._back.along_hat(turned, self._gradients)

    def __call__(self, room: Rows, which: int) -> None:
        part, inputs, along = self._back.attention, self._inputs[which], self._along[which]
        inverse = None if inputs.inverse is None else inputs.inverse.transpose(0, 1)
        if along is not None and inverse is not None:
            along = along * inverse  # x stands for its hat, which is x / scale
        projection = (part.query, part.key, part.value)[which]
        self._back.into(room, projection, self._gradients[which], (inputs.x, inverse), along)
