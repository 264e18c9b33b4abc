"""Places in a model in plain words, as the pages of studies name them."""

from collections.abc import Sequence

from memcirc.models import Model
from memcirc.patching.patches import Patch
from memcirc.patching.sites import STREAM, Site

PARTS = {
    "embed": "token embedding", "pos_embed": "position embedding", "latent_in": "the vector fed in",
    "resid_pre": "residual stream before the layer", "resid_mid": "residual stream within the layer",
    "resid_post": "residual stream after the layer", "q": "query", "k": "key", "v": "value", "rot_q": "rotated query",
    "rot_k": "rotated key", "attn_scores": "attention scores", "pattern": "attention pattern", "z": "head output",
    "out": "head output", "attn_out": "attention output", "mlp_pre": "MLP before its activation",
    "mlp_post": "MLP neurons", "mlp_out": "MLP output",
}  # fmt: skip
"""Kinds of sites, also by their names among the named sweeps."""


def part(kind: str) -> str:
    """A kind of site in words."""
    return PARTS.get(kind, kind.replace("_", " "))


def at_layer(kind: str, layer: int) -> str:
    """A kind of site at a layer in words."""
    named, which = part(kind), f"layer {layer}"
    return named.replace("the layer", which) if "the layer" in named else f"{named} of {which}"


def place(patch: Patch, positions: Sequence[str] = ()) -> str:
    """What a patch writes, in words; its own label where it writes several sites, or a kind that has no words.

    Args:
        positions: labels of the positions (default: their numbers).
    """
    (where, *others) = patch.sites
    if others or where.kind not in PARTS:
        return patch.label
    named = part(where.kind).removeprefix("head ") + _heads(where)
    named = named if where.layer is None else at_layer(named, where.layer)
    read = "" if where.sources is None else f", reading {_positions(where.sources, positions)}"
    return f"{named}{'' if where.positions is None else f' at {_positions(where.positions, positions)}'}{read}"


def _heads(where: Site) -> str:
    if where.heads is None:
        return "" if where.shape == STREAM else " of all heads"
    return f" of head{'s' if len(where.heads) > 1 else ''} {', '.join(map(str, where.heads))}"


def _positions(places: Sequence[int], labels: Sequence[str]) -> str:
    told = ", ".join(_quoted(labels[i]) if i < len(labels) else str(i) for i in places)
    return f"position{'s' if len(places) > 1 else ''} {told}"


def _quoted(label: str) -> str:
    """A position's number, and its token in quotes where it has one."""
    number, _, token = label.partition(" ")
    return f"{number} (“{token}”)" if token else number


def tokens(model: Model, ids: Sequence[int]) -> list[str]:
    """Tokens as labels: without the space before them, in quotes where there is nothing else or a line ends."""
    texts = [model.decode([i]) for i in ids]
    return [repr(text) if not text.strip() or "\n" in text.strip() else text.strip() for text in texts]


def layers(first: int, last: int) -> str:
    """Neighbouring layers in words."""
    return f"layer {first}" if first == last else f"layers {first} to {last}"
