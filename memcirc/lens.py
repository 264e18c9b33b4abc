"""TransformerLens' class without its import, which takes longer than all else that a command loads: where an object is
of the class, whoever made it has imported it."""

import sys
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from transformer_lens import HookedTransformer as HookedTransformer
else:
    HookedTransformer = Any


def is_hooked(model: object) -> TypeGuard[HookedTransformer]:
    """Whether a model is a ``HookedTransformer``."""
    library = sys.modules.get("transformer_lens")
    return library is not None and isinstance(model, library.HookedTransformer)


def check_context(hooked: HookedTransformer, length: int) -> None:
    """Raises ValueError for a prompt that is longer than what the hooked form computes as the model does."""
    if length > hooked.cfg.n_ctx:
        raise ValueError(
            f"a prompt has {length} positions; TransformerLens' form of this model reads at most {hooked.cfg.n_ctx}"
        )
