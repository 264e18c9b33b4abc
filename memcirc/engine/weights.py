"""A loaded model as a record of plain weights, ready for products.

The engine knows no modules and no hooks. A model is read once into :class:`Weights`: one matrix for each product of a
block, with the gain and bias of the norm before it folded in (the final norm's stay apart, to save a copy of the
unembedding). For a norm n(x) = (x - mean)/sigma with gain g and bias
b before a matrix W,

    n(x) * g @ W + b @ W  =  n(x) @ W' + b'      with W' = diag(g) W, its columns centred, and b' = b @ W + bias.

Centring the columns changes nothing, because n(x) has mean zero, and makes the norm's backward pass one rank-1
correction (:mod:`memcirc.engine.backward`). RMS norms are not centred; without a norm, W' = W.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.engine.activations import ACTIVATIONS
from memcirc.engine.rotary import Rotary, rotary_of
from memcirc.graph import Graph, graph_of
from memcirc.models import Model


@dataclass(frozen=True, eq=False)
class Linear:
    """x @ weight + bias."""

    weight: Float[Tensor, "d_in d_out"]
    bias: Float[Tensor, " d_out"]

    def __call__(self, x: Float[Tensor, "*rows d_in"], out: Tensor | None = None) -> Float[Tensor, "*rows d_out"]:
        flat = x.reshape(-1, x.shape[-1]).to(self.weight.dtype)
        target = None if out is None else out.view(-1, out.shape[-1])
        return torch.addmm(self.bias, flat, self.weight, out=target).view(*x.shape[:-1], -1)

    def columns(self, start: int, stop: int) -> "Linear":
        return Linear(self.weight[:, start:stop], self.bias[start:stop])


@dataclass(frozen=True, eq=False)
class Block:
    """One layer. ``qkv`` puts all queries before all keys before all values, head by head; ``up`` of a gated MLP puts
    the gate before the linear part."""

    qkv: Linear
    out: Linear
    up: Linear | None
    down: Linear | None
    window: int | None


@dataclass(frozen=True, eq=False)
class Weights:
    """A model's weights and the facts of its architecture that a forward pass needs."""

    graph: Graph
    blocks: tuple[Block, ...]
    embedding: Float[Tensor, "d_vocab d_model"]
    positions: Float[Tensor, "n_ctx d_model"] | None
    final_gain: Float[Tensor, " d_model"] | None
    final_bias: Float[Tensor, " d_model"] | None
    unembed: Linear
    norm: str | None
    eps: float
    d_head: int
    scale: float
    activation: str | None
    gated: bool
    causal: bool
    n_ctx: int
    rotary: Rotary | None

    @property
    def d_model(self) -> int:
        return self.embedding.shape[1]

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
        return self.graph.shape.n_kv_heads

    @cached_property
    def head_outputs(self) -> tuple[Float[Tensor, "head d_head d_model"], ...]:
        """Each layer's output matrix, head by head."""
        return tuple(b.out.weight.view(self.n_heads, self.d_head, self.d_model) for b in self.blocks)

    def embed(
        self, ids: Int[Tensor, "batch pos"], position: Int[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_model"]:
        """Output of the source ``input``."""
        embedded = self.embedding[ids]
        if self.positions is not None:
            embedded = embedded + self.positions[position]
        return embedded.to(self.stream_dtype)


_EXTRACTED: "WeakKeyDictionary[Model, tuple[tuple[Any, ...], Weights]]" = WeakKeyDictionary()


def weights_of(model: Model) -> Weights:
    """The weights of a loaded model, extracted once as long as nobody changes them.

    Raises:
        ValueError: the model has a part that the engine does not compute; the message names it.
    """
    state = tuple((p.data_ptr(), p._version) for p in model.hooked.parameters())
    known = _EXTRACTED.get(model)
    if known is None or known[0] != state:
        known = (state, _extract(model))
        _EXTRACTED[model] = known
    return known[1]


def _extract(model: Model) -> Weights:
    hooked = model.hooked
    cfg = hooked.cfg
    refuse_unsupported(cfg)
    with torch.inference_mode(False), torch.no_grad():  # the record outlives the caller's mode
        positions = None
        if cfg.positional_embedding_type == "standard":
            positions = hooked.pos_embed.W_pos.detach()
        return Weights(
            graph=graph_of(model),
            blocks=tuple(_block(block, cfg) for block in hooked.blocks),
            embedding=hooked.embed.W_E.detach(),
            positions=positions,
            final_gain=_detached(getattr(hooked, "ln_final", None), "w"),
            final_bias=_detached(getattr(hooked, "ln_final", None), "b"),
            unembed=Linear(hooked.unembed.W_U.detach(), hooked.unembed.b_U.detach()),
            norm=_norm_kind(cfg),
            eps=float(cfg.eps),
            d_head=cfg.d_head,
            scale=1.0 / float(hooked.blocks[0].attn.attn_scale) if hooked.blocks else 1.0,
            activation=None if cfg.attn_only else cfg.act_fn,
            gated=bool(cfg.gated_mlp),
            causal=cfg.attention_dir == "causal",
            n_ctx=cfg.n_ctx,
            rotary=rotary_of(hooked) if cfg.positional_embedding_type == "rotary" else None,
        )


def refuse_unsupported(cfg: Any) -> None:
    """Raises ValueError for an architecture whose computation the engine does not reproduce."""
    if cfg.use_normalization_before_and_after:
        raise ValueError("post-norm models are not supported: their residual is not the sum of head outputs")
    if cfg.normalization_type not in (None, "LN", "LNPre", "RMS", "RMSPre"):
        raise ValueError(
            f"normalization {cfg.normalization_type!r} is not supported; supported: None, LN, LNPre, RMS, RMSPre"
        )
    if cfg.positional_embedding_type not in ("standard", "rotary"):
        raise ValueError(
            f"positional embedding {cfg.positional_embedding_type!r} is not supported; supported: standard, rotary"
        )
    if not cfg.attn_only and cfg.act_fn not in ACTIVATIONS:
        raise ValueError(f"activation {cfg.act_fn!r} is not supported; supported: {', '.join(ACTIVATIONS)}")
    refused = {
        "use_qk_norm": cfg.use_qk_norm,
        "attn_scores_soft_cap": (cfg.attn_scores_soft_cap or -1) > 0,
        "output_logits_soft_cap": (cfg.output_logits_soft_cap or -1) > 0,
        "scale_attn_by_inverse_layer_idx": cfg.scale_attn_by_inverse_layer_idx,
        "post_embedding_ln": cfg.post_embedding_ln,
        "num_experts": cfg.num_experts,
        "use_attention_sinks": getattr(cfg, "use_attention_sinks", False),
        "use_logn_attn": getattr(cfg, "use_logn_attn", False),
        "use_dynamic_ntk_rope": getattr(cfg, "use_dynamic_ntk_rope", False),
        "clip_qkv": getattr(cfg, "clip_qkv", None) is not None,
        "load_in_4bit": cfg.load_in_4bit,
    }
    for name, present in refused.items():
        if present:
            raise ValueError(f"a model with {name} is not supported by the native engine")


def _detached(module: Any, name: str) -> Tensor | None:
    parameter = getattr(module, name, None)
    return None if parameter is None else parameter.detach()


def _norm_kind(cfg: Any) -> str | None:
    """``layer`` (centred), ``rms``, or None."""
    if cfg.normalization_type is None:
        return None
    return "layer" if cfg.normalization_type.startswith("LN") else "rms"


def _block(block: Any, cfg: Any) -> Block:
    attn = block.attn
    grouped = cfg.n_key_value_heads is not None and not cfg.ungroup_grouped_query_attention
    key, value = (attn._W_K, attn._W_V) if grouped else (attn.W_K, attn.W_V)
    key_bias, value_bias = (attn._b_K, attn._b_V) if grouped else (attn.b_K, attn.b_V)
    qkv = torch.cat([attn.W_Q, key, value]).permute(1, 0, 2).flatten(1)
    qkv_bias = torch.cat([attn.b_Q, key_bias, value_bias]).flatten()
    up = down = None
    if not cfg.attn_only:
        up, down = _mlp(block, cfg)
    return Block(
        qkv=_folded(qkv, qkv_bias, block.ln1, cfg),
        out=Linear(attn.W_O.detach().flatten(0, 1).contiguous(), attn.b_O.detach()),
        up=up,
        down=down,
        window=cfg.window_size if attn.attn_type == "local" else None,
    )


def _mlp(block: Any, cfg: Any) -> tuple[Linear, Linear]:
    mlp = block.mlp
    if not cfg.gated_mlp:
        return _folded(mlp.W_in, mlp.b_in, block.ln2, cfg), Linear(mlp.W_out.detach(), mlp.b_out.detach())
    both = torch.cat([mlp.W_gate, mlp.W_in], dim=1)
    up = _folded(both, torch.zeros_like(both[0]), block.ln2, cfg)
    return up, Linear(mlp.W_out.detach(), (mlp.b_in @ mlp.W_out + mlp.b_out).detach())


def _folded(weight: Tensor, bias: Tensor, norm: Any, cfg: Any) -> Linear:
    """A matrix with the gain and bias of the norm before it folded in, computed in float32 or above."""
    exact = torch.promote_types(weight.dtype, torch.float32)
    folded, shift = weight.detach().to(exact), bias.detach().to(exact)
    if getattr(norm, "b", None) is not None:
        shift = shift + norm.b.detach().to(exact) @ folded
    if getattr(norm, "w", None) is not None:
        folded = norm.w.detach().to(exact)[:, None] * folded
    if _norm_kind(cfg) == "layer":
        folded = folded - folded.mean(0)
    return Linear(folded.to(weight.dtype).contiguous(), shift.to(weight.dtype))
