"""A loaded model as a record of plain weights and of the facts that a forward pass needs.

Every matrix is a view of the loaded parameter where its layout allows it, so that a model is held once. Nothing is
folded: the gain and bias of a norm are applied to what it gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.norm import Norm
from memcirc.decoder.positions import Alibi, Rotary
from memcirc.graph import Graph


@dataclass(frozen=True, eq=False)
class Linear:
    """x @ weight + bias."""

    weight: Float[Tensor, "d_in d_out"]
    bias: Float[Tensor, " d_out"] | None = None

    def __call__(self, x: Float[Tensor, "*rows d_in"], out: Tensor | None = None) -> Float[Tensor, "*rows d_out"]:
        flat = x.reshape(-1, x.shape[-1]).to(self.weight.dtype)
        target = None if out is None else out.flatten(0, -2)
        if self.bias is None:
            return torch.mm(flat, self.weight, out=target).view(*x.shape[:-1], -1)
        return torch.addmm(self.bias, flat, self.weight, out=target).view(*x.shape[:-1], -1)

    @property
    def width(self) -> int:
        """Numbers that come out."""
        return self.weight.shape[1]

    def columns(self, start: int, stop: int) -> "Linear":
        return Linear(self.weight[:, start:stop], None if self.bias is None else self.bias[start:stop])


@dataclass(frozen=True, eq=False)
class Projection:
    """Queries, keys or values: a matrix for each head, maybe scattered in one that holds all three."""

    weight: Float[Tensor, "head d_head d_model"]
    bias: Float[Tensor, "head d_head"] | None = None

    def __len__(self) -> int:
        return len(self.weight)

    def heads(self, start: int, stop: int) -> Linear:
        """Those of some neighbouring heads, side by side."""
        bias = None if self.bias is None else self.bias[start:stop].reshape(-1)
        return Linear(self.weight[start:stop].reshape(-1, self.weight.shape[2]).T, bias)

    @cached_property
    def whole(self) -> Linear:
        return self.heads(0, len(self))


@dataclass(frozen=True, eq=False)
class Attention:
    """The attention of a block.

    Attributes:
        norm: before it; ``post``: of the sum of what the heads write; None: there is none.
        fused: queries, keys and values as one matrix: for each of ``groups`` its queries, its keys, its values.
        query_norm, key_norm: of queries and keys before they are turned, each head's or, where ``joint``, all at once.
        scale: of the scores; ``cap``: the scores s become cap * tanh(s/cap).
        rotary: which of the model's tables turns queries and keys; None: they are not turned.
        window: how many tokens a query sees, its own included; None: all before it.
        multiplier: of what is written.
    """

    norm: Norm | None
    query: Projection
    key: Projection
    value: Projection
    out: Linear
    scale: float
    fused: Linear | None = None
    groups: int = 1
    query_norm: Norm | None = None
    key_norm: Norm | None = None
    joint: bool = False
    cap: float | None = None
    rotary: str | None = None
    window: int | None = None
    post: Norm | None = None
    multiplier: float = 1.0

    @property
    def coupled(self) -> bool:
        """Whether a head's output depends on what the others of its layer read."""
        return self.post is not None or (self.joint and self.query_norm is not None)

    @property
    def plain(self) -> bool:
        """Whether patterns are a softmax of scaled products of turned queries and keys, and no more."""
        return self.query_norm is None and self.key_norm is None and self.cap is None

    @property
    def bias(self) -> Float[Tensor, " d_model"] | float:
        """What the attention writes whatever its heads do; it belongs to no source."""
        return 0.0 if self.out.bias is None else self.out.bias * self.multiplier

    @cached_property
    def shifts(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """What queries, keys and values are of an input whose norm gives nothing but its bias, [head, d_head]."""
        return tuple(self._shift(projection) for projection in (self.query, self.key, self.value))  # type: ignore[return-value]

    def _shift(self, projection: Projection) -> Tensor | None:
        if self.norm is None or self.norm.bias is None:
            return projection.bias
        shift = projection.weight @ self.norm.bias
        return shift if projection.bias is None else shift + projection.bias


@dataclass(frozen=True, eq=False)
class Mlp:
    """The MLP of a block; where it is gated, down(activation(gate(x)) * up(x))."""

    norm: Norm | None
    up: Linear
    down: Linear
    activation: str
    gate: Linear | None = None
    post: Norm | None = None
    multiplier: float = 1.0


@dataclass(frozen=True, eq=False)
class Block:
    """One layer."""

    attention: Attention
    mlp: Mlp | None


@dataclass(frozen=True, eq=False)
class Weights:
    """A model.

    Attributes:
        embedding_scale: of the tokens' embeddings; ``embedding_norm``: of their sum with the positions'.
        logit_scale, logit_cap: the logits l become cap * tanh(scale * l / cap).
        d_head: numbers of a query, a key or a value.
        rotaries: the tables that blocks name.
    """

    graph: Graph
    blocks: tuple[Block, ...]
    embedding: Float[Tensor, "d_vocab d_model"]
    final_norm: Norm | None
    unembed: Linear
    d_head: int
    n_ctx: int
    positions: Float[Tensor, "n_positions d_model"] | None = None
    embedding_scale: float = 1.0
    embedding_norm: Norm | None = None
    logit_scale: float = 1.0
    logit_cap: float | None = None
    rotaries: Mapping[str, Rotary] = field(default_factory=dict)
    alibi: Alibi | None = None
    causal: bool = True

    @property
    def d_model(self) -> int:
        return self.embedding.shape[1]

    @property
    def d_vocab(self) -> int:
        """Tokens that the logits are of."""
        return self.unembed.width

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights: matrix products are taken in it."""
        return self.embedding.dtype

    @property
    def stream_dtype(self) -> torch.dtype:
        """Of the residual stream, of source outputs and of scores: never below float32."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def n_heads(self) -> int:
        return self.graph.shape.n_heads

    @property
    def n_kv_heads(self) -> int:
        """Keys and values that read an input of their own."""
        return self.graph.shape.n_kv_heads

    @property
    def coupled(self) -> bool:
        """Whether what a head writes depends on what others of its layer read."""
        return any(block.attention.coupled for block in self.blocks)

    @property
    def n_stored_kv_heads(self) -> int:
        """Keys and values that the weights have; :attr:`n_kv_heads` may be a multiple."""
        return len(self.blocks[0].attention.key) if self.blocks else self.n_kv_heads

    @property
    def gated(self) -> bool:
        """Whether the MLPs have gates."""
        return any(block.mlp is not None and block.mlp.gate is not None for block in self.blocks)

    @property
    def d_mlp(self) -> int:
        """The widest inner layer of an MLP, 0 without one."""
        return max((block.mlp.up.width for block in self.blocks if block.mlp is not None), default=0)

    def embed(
        self, ids: Int[Tensor, "batch pos"], position: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """Output of the source ``input``."""
        return self.placed(self.token_embedding(ids), position)

    def token_embedding(self, ids: Int[Tensor, "..."]) -> Float[Tensor, "*shape d_model"]:
        """The embeddings of tokens, before any position is added."""
        embedded = self.embedding[ids]
        return (embedded if self.embedding_scale == 1 else embedded * self.embedding_scale).to(self.stream_dtype)

    def placed(self, embedded: Float[Tensor, "*shape d_model"], position: Tensor | int) -> Tensor:
        """Embeddings at their positions."""
        if self.positions is not None:
            embedded = embedded + self.positions[position].to(embedded)
        return embedded if self.embedding_norm is None else self.embedding_norm(embedded)

    def read_out(self, logits: Tensor) -> Tensor:
        """Logits from the unembedding's products, in the stream's precision."""
        logits = logits.to(self.stream_dtype)
        if self.logit_scale != 1:
            logits = logits * self.logit_scale
        return logits if self.logit_cap is None else self.logit_cap * torch.tanh(logits / self.logit_cap)
