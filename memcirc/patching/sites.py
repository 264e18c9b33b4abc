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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from memcirc.decoder.weights import Weights

STREAM, HEADS, PATTERN = "stream", "heads", "pattern"
QUERY, KEY, SCORES = "query", "key", "scores"
ALWAYS, UNGATED, ONE_MODEL, NO_POSITIONS = "always", "ungated", "one model", "no positions"


@dataclass(frozen=True)
class Kind:
    """All that is known of one kind of site; an entry of :data:`KINDS`.

    Attributes:
        hook: TransformerLens' name of it, within its block if ``of_block``.
        shape: ``stream`` [batch, pos, ...], ``heads`` [batch, pos, head, ...] or ``pattern`` [batch, head, destination,
            source].
        grouped: its heads are those of keys and values, fewer where these are grouped.
        component: a study of the whole model patches it.
        residual: it is the residual stream; branch: it is what attention or MLP adds to it.
        through: it acts through the attention's scores alone, as ``query``, as ``key`` or as the ``scores`` themselves,
            so that a query that sees a single key hides it.
        swept: its name among TransformerLens' named sweeps, by position, or by head where it has heads.
        switch: what must be on in TransformerLens' configuration for the hook to run.
        present: whether a model of such weights has it; absent: why one has none.
        fast: the engine computes it: ``memcirc.patching.forward`` has a tap there.
        trimmed: in the last block the engine has it at the positions read alone.
        written_as: the kind under whose name the engine writes it, row by row (default: its own).
        same_as: the kind that holds the same information (in the ``next_block``), where ``same_if`` says so.
    """

    hook: str
    shape: str = STREAM
    of_block: bool = True
    grouped: bool = False
    component: bool = False
    residual: bool = False
    branch: bool = False
    through: str = ""
    swept: str = ""
    switch: str = ""
    present: Callable[[Weights], bool] = lambda weights: True
    absent: str = ""
    fast: bool = False
    trimmed: bool = True
    written_as: str = ""
    same_as: str = ""
    same_if: str = ALWAYS
    next_block: bool = False

    @property
    def before_blocks(self) -> bool:
        """Whether it is a term of what the first block reads; the engine adds its change."""
        return self.fast and not self.of_block

    @property
    def renames(self) -> bool:
        """Whether, in some models, it is another name for a kind of the same block that has the values themselves."""
        return bool(self.same_as) and self.same_if in (ALWAYS, UNGATED) and not self.next_block


def _has_mlp(weights: Weights) -> bool:
    return weights.graph.shape.has_mlp


def _one_key_a_head(weights: Weights) -> bool:
    return weights.n_stored_kv_heads == weights.n_heads


def _rotary(weights: Weights) -> bool:
    return bool(weights.rotaries)


def _normed(weights: Weights) -> bool:
    return any(block.attention.norm is not None for block in weights.blocks)


def _mlp_normed(weights: Weights) -> bool:
    return any(block.mlp is not None and block.mlp.norm is not None for block in weights.blocks)


def _final_normed(weights: Weights) -> bool:
    return weights.final_norm is not None


# the order is that in which a study of components goes through a block; of aliases the first is computed
KINDS = {
    "embed": Kind(
        "hook_embed", of_block=False, component=True, fast=True, trimmed=False, same_as="resid_pre",
        same_if=NO_POSITIONS,
    ),
    "pos_embed": Kind("hook_pos_embed", of_block=False, component=True, fast=True, trimmed=False,
                      present=lambda weights: weights.positions is not None, absent="it has no learned positions"),
    "resid_pre": Kind("hook_resid_pre", component=True, residual=True, swept="resid_pre", fast=True, trimmed=False),
    "ln1_scale": Kind("ln1.hook_scale", present=_normed),
    "ln1_normalized": Kind("ln1.hook_normalized", present=_normed),
    "attn_in": Kind("hook_attn_in", HEADS, switch="use_attn_in", present=_one_key_a_head),
    "q_input": Kind("hook_q_input", HEADS, through=QUERY, switch="use_split_qkv_input"),
    "k_input": Kind("hook_k_input", HEADS, grouped=True, through=KEY, switch="use_split_qkv_input"),
    "v_input": Kind("hook_v_input", HEADS, grouped=True, switch="use_split_qkv_input"),
    "q": Kind("attn.hook_q", HEADS, component=True, through=QUERY, swept="q", fast=True),
    "k": Kind("attn.hook_k", HEADS, grouped=True, component=True, through=KEY, swept="k", fast=True, trimmed=False),
    "v": Kind("attn.hook_v", HEADS, grouped=True, component=True, swept="v", fast=True, trimmed=False),
    "rot_q": Kind("attn.hook_rot_q", HEADS, component=True, through=QUERY, fast=True, same_as="q",
                  present=_rotary, absent="it has no rotary positions"),
    "rot_k": Kind("attn.hook_rot_k", HEADS, grouped=True, component=True, through=KEY, fast=True, trimmed=False,
                  same_as="k", present=_rotary, absent="it has no rotary positions"),
    "pattern": Kind("attn.hook_pattern", PATTERN, component=True, swept="pattern", fast=True),
    "attn_scores": Kind("attn.hook_attn_scores", PATTERN, component=True, through=SCORES, fast=True,
                        written_as="pattern", same_as="pattern"),
    "z": Kind("attn.hook_z", HEADS, component=True, swept="out", fast=True, same_as="attn_out", same_if=ONE_MODEL),
    "result": Kind("attn.hook_result", HEADS, switch="use_attn_result", same_as="attn_out", same_if=ONE_MODEL),
    "attn_out": Kind("hook_attn_out", component=True, branch=True, swept="attn_out", fast=True),
    "resid_mid": Kind("hook_resid_mid", component=True, residual=True, swept="resid_mid", fast=True,
                      present=lambda weights: _has_mlp(weights) and not weights.graph.shape.parallel,
                      absent="its attention and MLP run in parallel, or it has one of them alone, so nothing lies "
                             "between them"),
    "mlp_in": Kind("hook_mlp_in", switch="use_hook_mlp_in", present=_has_mlp),
    "ln2_scale": Kind("ln2.hook_scale", present=_mlp_normed),
    "ln2_normalized": Kind("ln2.hook_normalized", present=_mlp_normed),
    "mlp_post": Kind("mlp.hook_post", component=True, fast=True, same_as="mlp_out", same_if=ONE_MODEL,
                     present=_has_mlp),
    "mlp_pre": Kind("mlp.hook_pre", component=True, fast=True, same_as="mlp_post", same_if=UNGATED,
                    present=_has_mlp),
    "mlp_pre_linear": Kind("mlp.hook_pre_linear", fast=True, present=lambda weights: weights.gated),
    "mlp_out": Kind("hook_mlp_out", component=True, branch=True, swept="mlp_out", fast=True, present=_has_mlp),
    "resid_post": Kind("hook_resid_post", component=True, residual=True, fast=True, same_as="resid_pre",
                       next_block=True),
    "ln_final_scale": Kind("ln_final.hook_scale", of_block=False, present=_final_normed),
    "ln_final_normalized": Kind("ln_final.hook_normalized", of_block=False, present=_final_normed),
    "unembed_in": Kind("unembed.hook_in", of_block=False),
    "unembed_out": Kind("unembed.hook_out", of_block=False),
}  # fmt: skip


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
    def about(self) -> Kind:
        """What is known of its kind."""
        return KINDS[self.kind]

    @property
    def hook(self) -> str:
        """TransformerLens' name of the hook."""
        return self.about.hook if self.layer is None else f"blocks.{self.layer}.{self.about.hook}"

    @property
    def shape(self) -> str:
        """Which axes the activation has (:class:`Kind`)."""
        return self.about.shape

    @property
    def places(self) -> tuple[tuple[int, ...] | None, ...]:
        """What is written along each axis behind the batch (None: all of it): of a stream positions, of heads positions
        and heads, of a pattern heads, destinations and sources."""
        if self.shape == PATTERN:
            return self.heads, self.positions, self.sources
        return (self.positions, self.heads) if self.shape == HEADS else (self.positions,)


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
    layer = int(hook.split(".")[1]) if hook.startswith("blocks.") else None
    return Site(kinds_by_hook()[_within_block(hook)], layer, **where)


def kinds_by_hook() -> dict[str, str]:
    """Names of kinds by their hooks; of several with one hook the first."""
    return {kind.hook: name for name, kind in reversed(KINDS.items())}


def _within_block(hook: str) -> str:
    return hook.split(".", 2)[2] if hook.startswith("blocks.") else hook


def hooks_of(model: Any) -> list[str]:
    """Every hook of a loaded model that can be a site, in the order of the pass. ``attn_in`` is left out where keys and
    values have heads of their own, and what reads an MLP where there is none: TransformerLens cannot run them."""
    weights: Weights = model.weights  # asked for once: the model looks at every parameter whether it has changed
    here = [kind for kind in KINDS.values() if kind.present(weights)]
    before = [kind.hook for kind in here if kind.before_blocks]
    within = [kind.hook for kind in here if kind.of_block]
    behind = [kind.hook for kind in here if not kind.of_block and not kind.before_blocks]
    layers = range(len(weights.blocks))
    return list(dict.fromkeys([*before, *(f"blocks.{i}.{hook}" for i in layers for hook in within), *behind]))


def component_sites(model: Any) -> list[Site]:
    """The embedding and every component of every block: the sites of a whole-model study (85 for six Pythia layers)."""
    known, components = set(hooks_of(model)), [name for name, kind in KINDS.items() if kind.component]
    sites = [Site(name) for name in components if not KINDS[name].of_block]
    for layer in range(len(model.weights.blocks)):
        sites += [Site(name, layer) for name in components if KINDS[name].of_block]
    return [where for where in sites if where.hook in known]


def n_heads(model: Any, kind: str) -> int:
    """Heads of a per-head kind; for keys and values of a grouped model, their groups."""
    return int(model.weights.n_kv_heads if KINDS[kind].grouped else model.weights.n_heads)


def check_site(where: Site, model: Any, length: int) -> None:
    """Raises ValueError for a site that the model, or a prompt of ``length`` tokens, does not have."""
    n_layers = len(model.weights.blocks)
    if where.layer is not None and not 0 <= where.layer < n_layers:
        raise ValueError(f"layer {where.layer} is out of range; this model has layers 0 to {n_layers - 1}")
    if where.hook not in hooks_of(model):
        raise ValueError(f"{where.kind!r} does not exist in this model: {_why_absent(where)}")
    for name in ("positions", "sources"):
        outside = [p for p in getattr(where, name) or () if not 0 <= p < length]
        if outside:
            raise ValueError(f"position {outside[0]} is out of range; the prompts have positions 0 to {length - 1}")
    if where.heads is not None:
        count = n_heads(model, where.kind) if where.shape != STREAM else 0
        outside = [h for h in where.heads if not 0 <= h < count]
        if outside:
            raise ValueError(f"head {outside[0]} is out of range; {where.kind!r} has {count} heads here")
    if where.sources is not None and (where.shape != PATTERN or where.about.written_as):
        raise ValueError(f"only entries of 'pattern' can be written one by one, not of {where.kind!r}")


def _why_absent(where: Site) -> str:
    return where.about.absent or "its hooks are " + ", ".join(sorted(set(KINDS) - {where.kind}))


def aliases(sites: Sequence[Site], model: Any, same_model: bool, all_positions: bool = True) -> dict[Site, Site]:
    """For each site the first of those in ``sites`` that hold the same information (often itself).

    Args:
        model: a loaded model.
        same_model: source and base run are the same model's (its weights turn one place into the next alike).
        all_positions: the whole sequence is written at each site.
    """
    weights: Weights = model.weights
    leaders: dict[Any, Site] = {}
    return {s: leaders.setdefault(_content(s, weights, same_model, all_positions), s) for s in sites}


def _content(where: Site, weights: Weights, same_model: bool, all_positions: bool) -> tuple[Any, ...]:
    """What a site holds, in one canonical name."""
    holds = {
        ALWAYS: True,
        UNGATED: not weights.gated,
        ONE_MODEL: same_model and where.heads is None,
        NO_POSITIONS: same_model or weights.positions is None,
    }
    kind, layer = where.kind, where.layer
    while KINDS[kind].same_as and holds[KINDS[kind].same_if]:
        layer = 0 if layer is None else layer + KINDS[kind].next_block
        kind = KINDS[kind].same_as
    if kind == "resid_pre" and same_model and all_positions and where.positions is None:
        layer = 0
    return kind, layer, where.positions, where.heads, where.sources


def distinct(sites: Collection[Site], leaders: dict[Site, Site]) -> list[Site]:
    """The sites that are their own leaders (:func:`aliases`), in the order given."""
    return [s for s in sites if leaders[s] == s]
