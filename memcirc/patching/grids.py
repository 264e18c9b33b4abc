"""The named sweeps of ``transformer_lens.patching``: which sites, in which order, in an array of which shape.

A grid is a list of single-site patches in the order of its array. Cells that do not exist (keys and values have fewer
heads where they are grouped) have no patch: they are NaN in the array.
"""

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

from memcirc.config import shortened
from memcirc.models import Model
from memcirc.patching.patches import Patch
from memcirc.patching.sites import KINDS, PATTERN, STREAM, Site, check_site, hooks_of, n_heads, site

BLOCK, HEAD = ("resid_pre", "attn_out", "mlp_out"), ("out", "q", "k", "v", "pattern")
"""What TransformerLens stacks, by the names of sweeps."""


@dataclass(frozen=True)
class Grid:
    """A sweep: axis names, shape of its array, and for each patch its cell."""

    name: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    patches: tuple[Patch, ...]
    cells: tuple[tuple[int, ...], ...]


def grid(name: str, model: Any, length: int) -> Grid:
    """The named sweep of a model over prompts of ``length`` tokens.

    Args:
        name: as in ``transformer_lens.patching``, with or without ``get_act_patch_`` and ``attn_``: resid_pre,
            resid_mid, attn_out, mlp_out, block_every; head_{out,q,k,v,pattern}_{by_pos,all_pos},
            head_pattern_dest_src_pos, head_all_pos_every, head_by_pos_every.

    Raises:
        ValueError: no such sweep (names the nearest), or the model has no such site.
    """
    bare = name.removeprefix("get_act_patch_").removeprefix("attn_head_")
    bare = bare if bare == name.removeprefix("get_act_patch_") else f"head_{bare}"
    named = _named()
    if bare not in named:
        near = difflib.get_close_matches(bare, named, n=3, cutoff=0.4) or list(named)
        raise ValueError(f"sweep {name!r} does not exist; nearest: {', '.join(near)}")
    axes, shape, cells = named[bare](model, length)
    places = list(cells)
    for kind in sorted({where.kind for _, where in places}):
        check_site(Site(kind, 0), model, length)
    return Grid(bare, axes, shape, tuple(Patch((where,)) for _, where in places), tuple(cell for cell, _ in places))


Cells = Iterator[tuple[tuple[int, ...], Site]]
Layout = tuple[tuple[str, ...], tuple[int, ...], Cells]


def _by_position(kind: str, model: Any, length: int) -> Layout:
    shape = (len(model.weights.blocks), length)
    return ("layer", "pos"), shape, ((c, Site(kind, c[0], (c[1],))) for c in product(*map(range, shape)))


def _heads(kind: str, model: Any, length: int) -> Layout:
    shape = (len(model.weights.blocks), n_heads(model, kind))
    return ("layer", "head"), shape, ((c, Site(kind, c[0], None, (c[1],))) for c in product(*map(range, shape)))


def _heads_by_position(kind: str, model: Any, length: int) -> Layout:
    layers = len(model.weights.blocks)
    if KINDS[kind].shape == PATTERN:
        shape = (layers, n_heads(model, kind), length)
        cells = ((c, Site(kind, c[0], (c[2],), (c[1],))) for c in product(*map(range, shape)))
        return ("layer", "head", "pos"), shape, cells
    shape = (layers, length, n_heads(model, kind))
    return (
        ("layer", "pos", "head"), shape, ((c, Site(kind, c[0], (c[1],), (c[2],))) for c in product(*map(range, shape)))
    )  # fmt: skip


def _entries(model: Any, length: int) -> Layout:
    shape = (len(model.weights.blocks), n_heads(model, "pattern"), length, length)
    cells = ((c, Site("pattern", c[0], (c[2],), (c[1],), (c[3],))) for c in product(*map(range, shape)))
    return ("layer", "head", "pos", "source"), shape, cells


def _stacked(parts: tuple[Callable[[Any, int], Layout], ...], model: Any, length: int) -> Layout:
    """Sweeps side by side; the first axis says which, and later ones are as long as the longest."""
    layouts = [part(model, length) for part in parts]
    axes = layouts[0][0]
    order = [[names.index(axis) for axis in axes] for names, _, _ in layouts]
    shapes = [[shape[i] for i in places] for (_, shape, _), places in zip(layouts, order, strict=True)]

    def cells() -> Cells:
        for i, ((_, _, inner), places) in enumerate(zip(layouts, order, strict=True)):
            for cell, where in inner:
                yield (i, *(cell[j] for j in places)), where

    return ("kind", *axes), (len(parts), *map(max, zip(*shapes, strict=True))), cells()


def _named() -> dict[str, Callable[[Any, int], Layout]]:
    """Every named sweep: by the kinds' own names, and those that TransformerLens makes of several."""
    swept = {kind.swept: name for name, kind in KINDS.items() if kind.swept}
    heads = {name: kind for name, kind in swept.items() if KINDS[kind].shape != STREAM}
    return {
        **{name: partial(_by_position, kind) for name, kind in swept.items() if name not in heads},
        **{f"head_{name}_all_pos": partial(_heads, kind) for name, kind in heads.items()},
        **{f"head_{name}_by_pos": partial(_heads_by_position, kind) for name, kind in heads.items()},
        "head_pattern_dest_src_pos": _entries,
        "block_every": partial(_stacked, tuple(partial(_by_position, swept[name]) for name in BLOCK)),
        "head_all_pos_every": partial(_stacked, tuple(partial(_heads, swept[name]) for name in HEAD)),
        "head_by_pos_every": partial(_stacked, tuple(partial(_heads_by_position, swept[name]) for name in HEAD)),
    }


SWEEPS = tuple(_named())


def layout_of(sites: str | Sequence[str | Patch], model: Model, prompt_length: int, length: int) -> Grid:
    """The patches that are asked for, checked against the model and the prompts."""
    if not sites:
        raise ValueError(f"no site is named; accepted: hook names, patches, or one of {', '.join(SWEEPS)}")
    if isinstance(sites, str) and sites not in hooks_of(model):
        return grid(sites, model, prompt_length)
    entries = [sites] if isinstance(sites, str) else list(sites)
    for entry in entries:
        if not isinstance(entry, str | Patch):
            raise ValueError(f"site {shortened(entry)} is neither a hook's name nor a Patch")
    patches = tuple(e if isinstance(e, Patch) else Patch((site(e, model),), label=e) for e in entries)
    for patch in patches:
        for where in patch.sites:
            check_site(where, model, length)
    return Grid("patches", ("patch",), (len(patches),), patches, tuple((i,) for i in range(len(patches))))
