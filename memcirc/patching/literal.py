"""Patches as literally as can be: for each one a full forward pass of the hooked model, with a hook at every site.

The reference that the fast engine is tested against, and the way for sites and models that the engine does not
compute (norms' scales, inputs of single heads, results of heads). Nothing is edited in place; switches of the model's
configuration that a site needs, and the hooks, are as before afterwards, whatever happens.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.lens import HookedTransformer, check_context
from memcirc.patching.patches import Patch
from memcirc.patching.sites import Site
from memcirc.patching.writes import combined, mean_over_examples


@contextmanager
def switched(hooked: HookedTransformer, patches: Sequence[Patch]) -> Iterator[None]:
    """A context in which the switches of the configuration are on that the patches' sites need; then as before."""
    needed = {where.about.switch for patch in patches for where in patch.sites if where.about.switch}
    before = {name: getattr(hooked.cfg, name) for name in needed}
    for name in needed:
        setattr(hooked.cfg, name, True)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(hooked.cfg, name, value)


def recorded(
    hooked: HookedTransformer, ids: Int[Tensor, "batch pos"], hooks: Sequence[str]
) -> tuple[Float[Tensor, "batch pos d_vocab"], dict[str, Tensor]]:
    """Logits of a run, and what stood at the given hooks."""
    check_context(hooked, ids.shape[1])
    found: dict[str, Tensor] = {}

    def keep(value: Tensor, hook: Any) -> None:
        found[hook.name] = value.detach()

    with torch.inference_mode():
        logits = hooked.run_with_hooks(ids, prepend_bos=False, fwd_hooks=[(name, keep) for name in hooks])
    return logits, found


def patched_logits(
    hooked: HookedTransformer,
    ids: Int[Tensor, "batch pos"],
    source: Mapping[str, Tensor],
    patch: Patch,
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch pos d_vocab"]:
    """Logits of one full pass with the patch's sites written.

    Args:
        source: what the source run had at each hook.
        lengths: tokens of each example before its padding, which no mean counts; default: there is none.
    """
    check_context(hooked, ids.shape[1])
    lengths = torch.full((len(ids),), ids.shape[1], device=ids.device) if lengths is None else lengths
    hooks = [
        (where.hook, partial(_write, where=where, source=source[where.hook], patch=patch, lengths=lengths))
        for where in patch.sites
    ]
    with torch.inference_mode(), switched(hooked, [patch]):
        return hooked.run_with_hooks(ids, prepend_bos=False, fwd_hooks=hooks)


def _write(value: Tensor, hook: Any, where: Site, source: Tensor, patch: Patch, lengths: Tensor) -> Tensor:
    if patch.operation == "mean":
        source = mean_over_examples(source, where.shape, lengths)
    new = value.clone()
    index = _index(where, value)
    new[index] = combined(value[index], source[index], patch.operation, patch.amount)
    return new


def _index(where: Site, value: Tensor) -> tuple[Any, ...]:
    """Index of the written places: [batch, pos(, head)] or [batch, head, destination, source]."""
    ranges: list[Sequence[int]] = [range(value.shape[0])]
    ranges += [range(value.shape[i + 1]) if places is None else places for i, places in enumerate(where.places)]
    grids = torch.meshgrid(*(torch.tensor(list(r), device=value.device) for r in ranges), indexing="ij")
    return tuple(grids)


def hook_count(hooked: HookedTransformer) -> int:
    """How many hooks stand on the model."""
    return sum(len(point.fwd_hooks) + len(point.bwd_hooks) for point in hooked.hook_dict.values())
