"""What readers are made of: parameters as views in the engine's layout, and the facts that most families share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from memcirc.decoder.norm import Norm
from memcirc.decoder.positions import Alibi, Rotary
from memcirc.decoder.weights import Block, Linear, Projection

UNLIMITED = 1 << 20


@dataclass(frozen=True, eq=False)
class Parts:
    """What a reader gives: the fields of :class:`memcirc.decoder.weights.Weights` that are not the same for all."""

    blocks: tuple[Block, ...]
    final_norm: Norm | None
    n_ctx: int
    positions: Tensor | None = None
    embedding_scale: float = 1.0
    embedding_norm: Norm | None = None
    logit_scale: float = 1.0
    logit_cap: float | None = None
    rotaries: Mapping[str, Rotary] = field(default_factory=dict)
    alibi: Alibi | None = None


def linear(module: Any) -> Linear:
    """A ``torch.nn.Linear`` or transformers' ``Conv1D``."""
    weight = module.weight.detach()
    bias = None if module.bias is None else module.bias.detach()
    return Linear(weight if isinstance(module, Conv1D) else weight.T, bias)


def projection(matrix: Linear, n_heads: int) -> Projection:
    bias = None if matrix.bias is None else matrix.bias.unflatten(0, (n_heads, -1))
    return Projection(matrix.weight.T.unflatten(0, (n_heads, -1)), bias)


def separate(query: Any, key: Any, value: Any, d_head: int) -> dict[str, Any]:
    """Queries, keys and values from three modules."""
    matrices = {"query": linear(query), "key": linear(key), "value": linear(value)}
    return {name: projection(matrix, matrix.width // d_head) for name, matrix in matrices.items()}


def fused(module: Any, n_heads: int, n_kv_heads: int, groups: int) -> dict[str, Any]:
    """Queries, keys and values from one module that holds for each of ``groups`` its queries, its keys, its values."""
    matrix = linear(module)
    per_group = n_heads // groups, n_kv_heads // groups, n_kv_heads // groups
    weight = matrix.weight.T.unflatten(0, (groups, sum(per_group), -1)).split(per_group, dim=1)
    biases: Any = (None, None, None)
    if matrix.bias is not None:
        biases = [part.flatten(0, 1) for part in matrix.bias.view(groups, sum(per_group), -1).split(per_group, dim=1)]
    q, k, v = (Projection(part.flatten(0, 1), bias) for part, bias in zip(weight, biases, strict=True))
    return {"query": q, "key": k, "value": v, "fused": matrix, "groups": groups}


def norm(module: Any) -> Norm | None:
    """A norm of torch or of transformers, by what it has; None for none."""
    if module is None:
        return None
    centred = isinstance(module, torch.nn.LayerNorm) or "LayerNorm" in type(module).__name__
    eps = next((float(getattr(module, name)) for name in ("eps", "variance_epsilon") if hasattr(module, name)), 1e-5)
    gain, bias = (getattr(module, name, None) for name in ("weight", "bias"))
    return Norm(centred, eps, *(None if part is None else part.detach() for part in (gain, bias)))


def rotary(module: Any, like: Tensor, adjacent: bool = False, **which: Any) -> Rotary:
    """The model's own table of angles, computed by its module; ``like`` has the device and dtype."""

    def table(length: int) -> tuple[Tensor, Tensor]:
        position = torch.arange(length, device=like.device)[None]
        cos, sin = module(like[:1, None], position, **which)
        return cos[0], sin[0]

    return Rotary(adjacent, table)


def rotary_context(config: Any) -> int:
    """Positions that a rotary model reads: all that it names, or where its angles depend on the length of the text,
    those on which they do not."""
    named: int = config.max_position_embeddings
    rope = config.rope_parameters or {}
    kinds = [rope] if "rope_type" in rope else list(rope.values())
    for each in kinds:
        if each and each["rope_type"] in ("dynamic", "longrope"):
            named = min(named, each.get("original_max_position_embeddings") or named)
    return named
