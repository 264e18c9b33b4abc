"""Places in a forward pass that can be read and written: TransformerLens' hooks, typed.

A site is a kind of activation at a layer, and optionally some positions and heads of it. Reading and writing go through
the same record, so that one cannot read a block's input and write its output.

Sites that hold the same information have the same effect when patched (:func:`aliases`); each is computed once, all
names are reported, and no mean counts a value twice:

- always: ``resid_post`` of a layer and ``resid_pre`` of the next; ``q`` and ``rot_q``, ``k`` and ``rot_k`` (a fixed
  rotation apart); ``attn_scores`` (rows of it) and ``pattern``; without a gate ``mlp_pre`` and ``mlp_post``; without
  learned positions, or within one model, ``embed`` and ``resid_pre`` of layer 0;
- within one model also: ``z`` (all heads), ``result`` and ``attn_out``; ``mlp_post`` and ``mlp_out``; and, when all
  positions are written, every place of the residual stream, since what follows then is the source run.
"""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

STREAM, HEADS, PATTERN = "stream", "heads", "pattern"

BLOCK_HOOKS = {
    "ln1_scale": ("ln1.hook_scale", STREAM),
    "ln1_normalized": ("ln1.hook_normalized", STREAM),
    "ln2_scale": ("ln2.hook_scale", STREAM),
    "ln2_normalized": ("ln2.hook_normalized", STREAM),
    "attn_in": ("hook_attn_in", HEADS),
    "q_input": ("hook_q_input", HEADS),
    "k_input": ("hook_k_input", HEADS),
    "v_input": ("hook_v_input", HEADS),
    "mlp_in": ("hook_mlp_in", STREAM),
    "resid_pre": ("hook_resid_pre", STREAM),
    "q": ("attn.hook_q", HEADS),
    "k": ("attn.hook_k", HEADS),
    "v": ("attn.hook_v", HEADS),
    "rot_q": ("attn.hook_rot_q", HEADS),
    "rot_k": ("attn.hook_rot_k", HEADS),
    "attn_scores": ("attn.hook_attn_scores", PATTERN),
    "pattern": ("attn.hook_pattern", PATTERN),
    "z": ("attn.hook_z", HEADS),
    "result": ("attn.hook_result", HEADS),
    "attn_out": ("hook_attn_out", STREAM),
    "resid_mid": ("hook_resid_mid", STREAM),
    "mlp_pre": ("mlp.hook_pre", STREAM),
    "mlp_pre_linear": ("mlp.hook_pre_linear", STREAM),
    "mlp_post": ("mlp.hook_post", STREAM),
    "mlp_out": ("hook_mlp_out", STREAM),
    "resid_post": ("hook_resid_post", STREAM),
}
OTHER_HOOKS = {
    "embed": ("hook_embed", STREAM),
    "pos_embed": ("hook_pos_embed", STREAM),
    "ln_final_scale": ("ln_final.hook_scale", STREAM),
    "ln_final_normalized": ("ln_final.hook_normalized", STREAM),
    "unembed_in": ("unembed.hook_in", STREAM),
    "unembed_out": ("unembed.hook_out", STREAM),
}
GROUPED_KINDS = ("k", "v", "rot_k", "k_input", "v_input")
COMPONENTS = (
    "resid_pre", "q", "k", "v", "rot_q", "rot_k", "pattern", "attn_scores", "z",
    "attn_out", "resid_mid", "mlp_post", "mlp_pre", "mlp_out", "resid_post",
)  # fmt: skip
# TransformerLens runs these only when a switch of its configuration is on
SWITCHES = {
    "attn_in": "use_attn_in",
    "q_input": "use_split_qkv_input",
    "k_input": "use_split_qkv_input",
    "v_input": "use_split_qkv_input",
    "mlp_in": "use_hook_mlp_in",
    "result": "use_attn_result",
}
_KIND_OF = {hook: kind for kind, (hook, _) in {**BLOCK_HOOKS, **OTHER_HOOKS}.items()}


@dataclass(frozen=True)
class Site:
    """A kind of activation at a layer (None for those outside the blocks), everywhere or at some places.

    ``positions`` are those of the sequence, for attention patterns the reading (destination) ones; ``sources`` are the
    positions that a pattern reads; ``heads`` are key/value heads where keys and values are grouped.
    """

    kind: str
    layer: int | None = None
    positions: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    sources: tuple[int, ...] | None = None

    @property
    def hook(self) -> str:
        """TransformerLens' name of the hook."""
        if self.layer is None:
            return OTHER_HOOKS[self.kind][0]
        return f"blocks.{self.layer}.{BLOCK_HOOKS[self.kind][0]}"

    @property
    def shape(self) -> str:
        """Which axes the activation has: ``stream`` [batch, pos, ...], ``heads`` [batch, pos, head, ...], ``pattern``
        [batch, head, destination, source]."""
        return (OTHER_HOOKS if self.layer is None else BLOCK_HOOKS)[self.kind][1]


def site(hook: str, model: Any, **where: Any) -> Site:
    """The site of a TransformerLens hook name.

    Args:
        model: a loaded model; the hook must be one of its own.
        where: ``positions``, ``heads``, ``sources``.

    Raises:
        ValueError: the model has no such hook; the message names the nearest ones.
    """
    known = hooks_of(model)
    if hook not in known:
        near = difflib.get_close_matches(hook, known, n=3, cutoff=0.4)
        raise ValueError(f"hook {hook!r} does not exist in this model; nearest: {', '.join(near) or known[0]}")
    if hook.startswith("blocks."):
        _, layer, rest = hook.split(".", 2)
        return Site(_KIND_OF[rest], int(layer), **where)
    return Site(_KIND_OF[hook], None, **where)


def hooks_of(model: Any) -> list[str]:
    """Every hook of a loaded model that can be a site, in TransformerLens' order. ``attn_in`` is left out where keys
    and values have heads of their own, and what reads an MLP where there is none: TransformerLens cannot run them."""
    cfg = model.hooked.cfg
    absent = {"attn_in"} if cfg.n_key_value_heads is not None else set()
    absent |= {"mlp_in"} if cfg.attn_only else set()
    kinds = ((name, _KIND_OF.get(name.split(".", 2)[2] if name.startswith("blocks.") else name)) for name in
             model.hooked.hook_dict)  # fmt: skip
    return [name for name, kind in kinds if kind is not None and kind not in absent]


def component_sites(model: Any) -> list[Site]:
    """The embedding and every component of every block: the sites of a whole-model study (85 for six Pythia layers)."""
    known = set(hooks_of(model))
    sites = [Site("embed")] + [Site("pos_embed")] * ("hook_pos_embed" in known)
    for layer in range(model.hooked.cfg.n_layers):
        sites += [s for s in (Site(kind, layer) for kind in COMPONENTS) if s.hook in known]
    return sites


def n_heads(model: Any, kind: str) -> int:
    """Heads of a per-head kind; for keys and values of a grouped model, their groups."""
    cfg = model.hooked.cfg
    grouped = cfg.n_key_value_heads is not None and not cfg.ungroup_grouped_query_attention
    return int(cfg.n_key_value_heads if grouped and kind in GROUPED_KINDS else cfg.n_heads)


def check_site(where: Site, model: Any, length: int) -> None:
    """Raises ValueError for a site that the model, or a prompt of ``length`` tokens, does not have."""
    cfg = model.hooked.cfg
    if where.layer is not None and not 0 <= where.layer < cfg.n_layers:
        raise ValueError(f"layer {where.layer} is out of range; this model has layers 0 to {cfg.n_layers - 1}")
    if where.hook not in hooks_of(model):
        raise ValueError(f"{where.kind!r} does not exist in this model: {_why_absent(where.kind, cfg)}")
    for name in ("positions", "sources"):
        outside = [p for p in getattr(where, name) or () if not 0 <= p < length]
        if outside:
            raise ValueError(f"position {outside[0]} is out of range; the prompts have positions 0 to {length - 1}")
    if where.heads is not None:
        count = n_heads(model, where.kind) if where.shape != STREAM else 0
        outside = [h for h in where.heads if not 0 <= h < count]
        if outside:
            raise ValueError(f"head {outside[0]} is out of range; {where.kind!r} has {count} heads here")
    if where.sources is not None and where.kind != "pattern":
        raise ValueError(f"only entries of 'pattern' can be written one by one, not of {where.kind!r}")


def _why_absent(kind: str, cfg: Any) -> str:
    if kind == "resid_mid" and cfg.parallel_attn_mlp:
        return "its attention and MLP run in parallel, so nothing lies between them"
    if kind in ("rot_q", "rot_k"):
        return "it has no rotary positions"
    if kind == "pos_embed":
        return "it has no learned positions"
    return "its hooks are " + ", ".join(sorted({*BLOCK_HOOKS, *OTHER_HOOKS} - {kind}))


def aliases(sites: Sequence[Site], model: Any, same_model: bool, all_positions: bool = True) -> dict[Site, Site]:
    """For each site the first of those in ``sites`` that hold the same information (often itself).

    Args:
        model: a loaded model.
        same_model: source and base run are the same model's (its weights turn one place into the next alike).
        all_positions: the whole sequence is written at each site.
    """
    cfg = model.hooked.cfg
    leaders: dict[Any, Site] = {}
    return {s: leaders.setdefault(_content(s, cfg, same_model, all_positions), s) for s in sites}


def _content(where: Site, cfg: Any, same_model: bool, all_positions: bool) -> tuple[Any, ...]:
    """What a site holds, in one canonical name."""
    kind, layer = where.kind, where.layer
    everything = where.positions is None and all_positions
    if kind == "embed" and (same_model or cfg.positional_embedding_type != "standard"):
        kind, layer = "resid_pre", 0
    if kind == "resid_post":
        assert layer is not None
        kind, layer = "resid_pre", layer + 1
    if kind == "resid_pre" and same_model and everything:
        layer = 0
    kind = {"rot_q": "q", "rot_k": "k", "attn_scores": "pattern"}.get(kind, kind)
    if kind == "mlp_pre" and not cfg.gated_mlp:
        kind = "mlp_post"
    if same_model and where.heads is None:
        kind = {"z": "attn_out", "result": "attn_out", "mlp_post": "mlp_out"}.get(kind, kind)
    return kind, layer, where.positions, where.heads, where.sources


def distinct(sites: Collection[Site], leaders: dict[Site, Site]) -> list[Site]:
    """The sites that stand for themselves, in order."""
    return [s for s in sites if leaders[s] == s]
