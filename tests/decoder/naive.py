"""A decoder as slow as can be: one prompt, one head, one input at a time, every edge with a mask of its own, gradients
by automatic differentiation. It shares the record of weights with the engine, and none of its functions.

With masks m, sources' outputs c and ablation values p, a destination d reads
b_d + sum over s of (1 - m_ds) c_s + m_ds p_s, b_d being the biases of the attentions before it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from memcirc.decoder.norm import Norm
from memcirc.decoder.weights import Attention, Mlp, Projection, Weights

ACTIVATIONS = {
    "gelu": torch.nn.functional.gelu,
    "gelu_new": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "relu": torch.relu,
    "silu": lambda x: x * torch.sigmoid(x),
}


@dataclass
class Naive:
    """A run: ``masks`` [dst, src], ``values`` [src, pos, d_model]. After :meth:`run`, ``outputs`` are the sources'."""

    weights: Weights
    ids: Tensor
    masks: Tensor
    values: Tensor

    def run(self) -> Tensor:
        """The logits, [pos, d_vocab]."""
        weights, graph = self.weights, self.weights.graph
        self.position = torch.arange(len(self.ids))
        self.outputs = [self._embedding()]
        self.bias = torch.zeros(weights.d_model, dtype=weights.dtype)
        for layer, block in enumerate(weights.blocks):
            rows = graph.rows(layer)
            before = len(self.outputs)
            heads = self._heads(block.attention, rows)
            bias = block.attention.out.bias
            if bias is None:
                bias = torch.zeros_like(self.bias)
            own = bias * block.attention.multiplier
            if graph.shape.parallel:
                assert block.mlp is not None
                out = self._mlp(block.mlp, self._input(rows.mlp, before))
                self.outputs += [*heads, out]
                self.bias = self.bias + own
            else:
                self.outputs += heads
                self.bias = self.bias + own
                assert block.mlp is not None
                self.outputs.append(self._mlp(block.mlp, self._input(rows.mlp, len(self.outputs))))
        final = _norm(weights.final_norm, self._input(len(graph.destinations) - 1, len(self.outputs)))
        logits = final @ weights.unembed.weight
        if weights.unembed.bias is not None:
            logits = logits + weights.unembed.bias
        logits = logits * weights.logit_scale
        return logits if weights.logit_cap is None else weights.logit_cap * torch.tanh(logits / weights.logit_cap)

    def _embedding(self) -> Tensor:
        weights = self.weights
        x = weights.embedding[self.ids] * weights.embedding_scale
        if weights.positions is not None:
            x = x + weights.positions[self.position]
        return _norm(weights.embedding_norm, x)

    def _input(self, destination: int, n_sources: int) -> Tensor:
        total = self.bias
        for source in range(n_sources):
            mask = self.masks[destination, source]
            total = total + (1 - mask) * self.outputs[source] + mask * self.values[source]
        return total

    def _mlp(self, mlp: Mlp, x: Tensor) -> Tensor:
        given, act = _norm(mlp.norm, x), ACTIVATIONS[mlp.activation]
        inner = _linear(mlp.up, given) if mlp.gate is None else _linear(mlp.up, given) * act(_linear(mlp.gate, given))
        out = _linear(mlp.down, act(inner) if mlp.gate is None else inner)
        return _norm(mlp.post, out) * mlp.multiplier

    def _heads(self, attention: Attention, rows: object) -> list[Tensor]:
        n_heads, before = self.weights.n_heads, len(self.outputs)
        n_kv = self.weights.n_kv_heads
        queries = [self._projected(attention, attention.query, rows.query.start + h, h, before) for h in range(n_heads)]
        keys, values = (
            [
                self._projected(attention, projection, first + h, h * len(projection) // n_kv, before)
                for h in range(n_kv)
            ]
            for projection, first in ((attention.key, rows.key.start), (attention.value, rows.value.start))
        )
        queries = self._placed(attention, attention.query_norm, queries)
        keys = self._placed(attention, attention.key_norm, keys)
        outputs = []
        for head in range(n_heads):
            group = head * n_kv // n_heads
            scores = queries[head] @ keys[group].T * attention.scale
            if attention.cap is not None:
                scores = attention.cap * torch.tanh(scores / attention.cap)
            if self.weights.alibi is not None:
                scores = scores + self.weights.alibi.table(len(self.ids))[head]
            distance = self.position[:, None] - self.position
            hidden = distance < 0
            if attention.window is not None:
                hidden |= distance >= attention.window
            outputs.append(scores.masked_fill(hidden, -torch.inf).softmax(-1) @ values[group])
        d_head = outputs[0].shape[1]
        writes = [z @ attention.out.weight[h * d_head : (h + 1) * d_head] for h, z in enumerate(outputs)]
        if attention.post is not None:
            scale = (torch.stack(writes).sum(0).square().mean(-1, keepdim=True) + attention.post.eps).sqrt()
            writes = [write / scale * attention.post.gain for write in writes]
        return [write * attention.multiplier for write in writes]

    def _projected(self, attention: Attention, projection: Projection, row: int, matrix: int, before: int) -> Tensor:
        x = _norm(attention.norm, self._input(row, before)) @ projection.weight[matrix].T
        return x if projection.bias is None else x + projection.bias[matrix]

    def _placed(self, attention: Attention, norm: Norm | None, heads: list[Tensor]) -> list[Tensor]:
        """Normed and turned."""
        if norm is not None and attention.joint:
            gains = norm.gain.view(-1, heads[0].shape[1])
            scale = (torch.cat(heads, -1).square().mean(-1, keepdim=True) + norm.eps).sqrt()
            heads = [x / scale * gains[h * len(gains) // len(heads)] for h, x in enumerate(heads)]
        elif norm is not None:
            heads = [_norm(_of_head(norm, h, len(heads), x.shape[1]), x) for h, x in enumerate(heads)]
        return [self._turned(attention, x) for x in heads]

    def _turned(self, attention: Attention, x: Tensor) -> Tensor:
        if attention.rotary is None:
            return x
        rotary = self.weights.rotaries[attention.rotary]
        cos, sin = rotary.table(len(self.ids))
        n = cos.shape[1]
        turned = x.clone()
        for i in range(n // 2):
            first, second = (2 * i, 2 * i + 1) if rotary.adjacent else (i, i + n // 2)
            a, b = x[:, first], x[:, second]
            turned[:, first] = a * cos[:, first] - b * sin[:, first]
            turned[:, second] = b * cos[:, second] + a * sin[:, second]
        return turned


def _linear(linear: object, x: Tensor) -> Tensor:
    y = x @ linear.weight
    return y if linear.bias is None else y + linear.bias


def _of_head(norm: Norm, head: int, n_heads: int, d_head: int) -> Norm:
    def part(parameter: Tensor | None) -> Tensor | None:
        if parameter is None:
            return None
        rows = parameter.view(-1, d_head)
        return rows[head * len(rows) // n_heads]

    return Norm(norm.centred, norm.eps, part(norm.gain), part(norm.bias))


def _norm(norm: Norm | None, x: Tensor) -> Tensor:
    if norm is None:
        return x
    if norm.centred:
        x = x - x.mean(-1, keepdim=True)
    x = x / (x.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    x = x if norm.gain is None else x * norm.gain
    return x if norm.bias is None else x + norm.bias


def plain(weights: Weights, ids: Tensor) -> Naive:
    """A run in which nothing is patched."""
    graph = weights.graph
    none = torch.zeros(len(graph.destinations), len(graph.sources), dtype=weights.dtype)
    return Naive(weights, ids, none, torch.zeros(len(graph.sources), len(ids), weights.d_model, dtype=weights.dtype))
