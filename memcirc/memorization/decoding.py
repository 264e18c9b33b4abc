"""Greedy decoding of rows whose contexts differ in length, from keys and values that an earlier pass has left.

Each row's slots are shifted so that its last valid one comes last, the slots before its first are masked, and its
positions are its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from memcirc.models import Model


@dataclass(frozen=True)
class Broken:
    """Rows of a batch at which recitation has broken off, and what decoding goes on from.

    ``layers``: keys and values of a batch that contains the rows, [batch, head, >= at.max(), d_head]; ``rows``, int64
    [n], among them; ``at``, int64 [n], how many tokens of each row are its context; ``said``, int64 [n], the token that
    the model says behind it.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    rows: Tensor
    at: Tensor
    said: Tensor

    @classmethod
    def of(cls, cache: DynamicCache, rows: Tensor, at: Tensor, said: Tensor) -> "Broken":
        return cls(tuple((layer.keys, layer.values) for layer in cache.layers), rows, at, said)


def states_of(model: Model, ids: Tensor, cache: DynamicCache | None, **where: Tensor | None) -> Tensor:
    """[batch, pos, d_model]: what the unembedding reads; the logits themselves for a micro-model that transformers
    does not know."""
    if model.hf is None:
        return model.logits(ids)
    return model.hf.base_model(
        input_ids=ids, past_key_values=cache, use_cache=cache is not None, **where
    ).last_hidden_state


def unembedded(model: Model, states: Tensor) -> Tensor:
    """float32 (or 64) logits of states; never more positions than the caller reads."""
    return states if model.hf is None else model.weights.read_out(model.hf.get_output_embeddings()(states))


class _Slots(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values in buffers with room for the tokens to come: a step writes its slot and copies
    nothing, and rows that are finished are left out by a view.

    Args:
        groups: for each group of rows the layer's keys and values, which rows, int64 [n], and the old slot that each
            new one holds (below 0: none, to be masked), int64 [n, slots].
        order: the groups' rows, one group after the other, in the order wanted.
        room: tokens to come.
    """

    def __init__(
        self, groups: Sequence[tuple[tuple[Tensor, Tensor], Tensor, Tensor]], order: Tensor, room: int
    ) -> None:
        super().__init__()
        self.lazy_initialization(*groups[0][0])
        self._used = groups[0][2].shape[1]
        n_rows = sum(len(rows) for _, rows, _ in groups)
        place = order.argsort()
        self._buffers = []
        for kind in range(2):
            states = groups[0][0][kind]
            buffer = states.new_empty(n_rows, states.shape[1], self._used + room, states.shape[3])
            start = 0
            for layer, rows, index in groups:
                where = place[start : start + len(rows)]
                buffer[where, :, : self._used] = layer[kind][rows[:, None], :, index.clamp_min(0)].transpose(1, 2)
                start += len(rows)
            self._buffers.append(buffer)
        self.view(n_rows, 0)

    def view(self, rows: int, first: int) -> None:
        """From now on the first ``rows`` rows alone, from slot ``first`` on."""
        self._rows, self._first = rows, first
        self.keys, self.values = (buffer[:rows, :, first : self._used] for buffer in self._buffers)

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[: self._rows, :, self._used : self._used + 1] = states
        self._used += 1
        self.view(self._rows, self._first)
        return self.keys, self.values


@torch.inference_mode()
def decode(model: Model, groups: Sequence[Broken], n_tokens: int) -> list[Tensor]:
    """Greedy continuations to the end of passages of ``n_tokens``, of rows whose contexts differ in length.

    Returns:
        for each row, one group after the other, int64 [n_tokens - at] on the CPU: ``said`` and what is said after it.
    """
    assert model.hf is not None
    device, at = model.device, torch.cat([group.at for group in groups])
    order = at.argsort(stable=True)  # so that those that go on longest are the first rows
    lengths, sorted_at = at[order].tolist(), at[order].to(device)
    steps, width = n_tokens - 1 - lengths[0], lengths[-1]
    slot, shift = torch.arange(width, device=device), (width - at).to(device)[:, None]
    indices = (slot - shift).split([len(group.at) for group in groups])
    rows = [group.rows.to(device) for group in groups]
    mask = torch.ones(len(at), width + steps, dtype=torch.int64, device=device)
    mask[:, :width] = slot >= width - sorted_at[:, None]
    slots = DynamicCache()
    slots.layers = [
        _Slots(list(zip(states, rows, indices, strict=True)), order.to(device), steps)
        for states in zip(*(group.layers for group in groups), strict=True)
    ]
    said = torch.cat([group.said for group in groups])
    out = torch.empty(len(at), steps + 1, dtype=torch.int64, device=model.device)
    out[:, 0] = said[order].to(model.device)
    going = len(at)
    for step in range(steps):
        while lengths[going - 1] + step == n_tokens - 1:
            going -= 1
        first = width - lengths[going - 1]
        for layer in slots.layers:
            layer.view(going, first)
        states = states_of(
            model,
            out[:going, step, None],
            slots,
            attention_mask=None if lengths[0] == lengths[going - 1] else mask[:going, first : width + step + 1],
            position_ids=(sorted_at[:going] + step)[:, None],
        )
        out[:going, step + 1] = unembedded(model, states)[:, -1].argmax(-1)
    tails = dict(zip(order.tolist(), out.cpu(), strict=True))
    return [tails[i][: n_tokens - length] for i, length in enumerate(at.tolist())]
