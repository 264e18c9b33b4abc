"""A dense decoder as plain weights, and one description of its block.

Whatever transformers or TransformerLens loaded is read once into :class:`memcirc.decoder.weights.Weights`, whose
matrices are views of the loaded parameters (``from_transformers``, ``from_hooked``). ``block`` says how a block is
wired, ``attention`` and ``mlp`` what its branches compute; the engine's passes, decoding and activation patching are
their callers.
"""
