"""A ``HookedTransformer`` as plain weights: micro-models, compiled programs, and whatever a user holds in that form."""

from typing import Any

from torch import Tensor

from memcirc.decoder.activations import ACTIVATIONS
from memcirc.decoder.norm import Norm
from memcirc.decoder.positions import Rotary
from memcirc.decoder.weights import Attention, Block, Linear, Mlp, Projection, Weights
from memcirc.graph import graph_of


def read_hooked(hooked: Any) -> Weights:
    """The weights of a ``HookedTransformer``.

    Raises:
        ValueError: the model has a part that is not computed; the message names it.
    """
    cfg = hooked.cfg
    refuse_unsupported(cfg)
    rotates = cfg.positional_embedding_type == "rotary"
    return Weights(
        graph=graph_of(hooked),
        blocks=tuple(_block(block, cfg) for block in hooked.blocks),
        embedding=hooked.embed.W_E.detach(),
        final_norm=_norm(getattr(hooked, "ln_final", None), cfg),
        unembed=Linear(hooked.unembed.W_U.detach(), hooked.unembed.b_U.detach()),
        d_head=cfg.d_head,
        n_ctx=cfg.n_ctx,
        positions=None if rotates else hooked.pos_embed.W_pos.detach(),
        rotaries={"all": _rotary(hooked)} if rotates else {},
        causal=cfg.attention_dir == "causal",
    )


def refuse_unsupported(cfg: Any) -> None:
    """Raises ValueError for an architecture of TransformerLens that is not computed."""
    if cfg.use_normalization_before_and_after:
        raise ValueError(
            "a HookedTransformer with norms behind its branches is not supported; give transformers' model"
        )
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
            raise ValueError(f"a HookedTransformer with {name} is not supported by the native engine")


def _norm(module: Any, cfg: Any) -> Norm | None:
    if cfg.normalization_type is None or module is None:
        return None
    gain, bias = (getattr(module, name, None) for name in ("w", "b"))
    parts = (None if part is None else part.detach() for part in (gain, bias))
    return Norm(cfg.normalization_type.startswith("LN"), float(cfg.eps), *parts)


def _block(block: Any, cfg: Any) -> Block:
    attn = block.attn
    grouped = cfg.n_key_value_heads is not None
    key, value = (attn._W_K, attn._W_V) if grouped else (attn.W_K, attn.W_V)
    key_bias, value_bias = (attn._b_K, attn._b_V) if grouped else (attn.b_K, attn.b_V)
    attention = Attention(
        norm=_norm(block.ln1, cfg),
        query=_projection(attn.W_Q, attn.b_Q),
        key=_projection(key, key_bias),
        value=_projection(value, value_bias),
        out=Linear(attn.W_O.detach().flatten(0, 1), attn.b_O.detach()),
        scale=1.0 / float(attn.attn_scale),
        rotary="all" if cfg.positional_embedding_type == "rotary" else None,
        window=cfg.window_size if attn.attn_type == "local" else None,
    )
    return Block(attention, None if cfg.attn_only else _mlp(block, cfg))


def _projection(weight: Tensor, bias: Tensor) -> Projection:
    return Projection(weight.detach().transpose(1, 2), bias.detach())


def _mlp(block: Any, cfg: Any) -> Mlp:
    """TransformerLens adds the inner bias of a gated MLP behind the gate: it is one of the way out."""
    mlp, norm = block.mlp, _norm(block.ln2, cfg)
    out = mlp.W_out.detach()
    if not cfg.gated_mlp:
        return Mlp(norm, Linear(mlp.W_in.detach(), mlp.b_in.detach()), Linear(out, mlp.b_out.detach()), cfg.act_fn)
    down = Linear(out, (mlp.b_in @ mlp.W_out + mlp.b_out).detach())
    return Mlp(norm, Linear(mlp.W_in.detach()), down, cfg.act_fn, gate=Linear(mlp.W_gate.detach()))


def _rotary(hooked: Any) -> Rotary:
    """The model's own table of angles, extended where prompts are longer."""
    attn, cfg = hooked.blocks[0].attn, hooked.cfg

    def table(length: int) -> tuple[Tensor, Tensor]:
        if length <= len(attn.rotary_cos):
            return attn.rotary_cos, attn.rotary_sin
        sin, cos = attn.calculate_sin_cos_rotary(
            cfg.rotary_dim, length, base=attn._rotary_base(), dtype=attn.rotary_cos.dtype
        )
        return cos.to(attn.rotary_cos.device), sin.to(attn.rotary_sin.device)

    return Rotary(cfg.rotary_adjacent_pairs, table)
