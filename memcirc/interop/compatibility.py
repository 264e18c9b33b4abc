"""Let auto-circuit 1.0.1 be imported next to transformer-lens 3.x.

It imports two names that have moved: the module ``transformer_lens.past_key_value_caching`` and the class
``HookedTransformerKeyValueCache``, now ``TransformerLensKeyValueCache`` in
``transformer_lens.cache.key_value_cache``. They are put where it looks for them, before its first import.
"""

import sys
import types


def provide_moved_names() -> None:
    """Make ``import auto_circuit`` work; calling it again changes nothing."""
    import transformer_lens
    from transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache

    name = "transformer_lens.past_key_value_caching"
    if name not in sys.modules:
        module = types.ModuleType(name)
        module.HookedTransformerKeyValueCache = TransformerLensKeyValueCache  # type: ignore[attr-defined]
        sys.modules[name] = module
    transformer_lens.HookedTransformerKeyValueCache = TransformerLensKeyValueCache  # type: ignore[attr-defined]
