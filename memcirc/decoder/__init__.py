"""A dense decoder as plain weights, and one description of its block.

Whatever transformers or TransformerLens loaded is read once into :class:`memcirc.decoder.weights.Weights`, whose
matrices are views of the loaded parameters (``from_transformers``, ``from_hooked``). ``block`` says what a block
computes; the engine's passes, decoding and activation patching are its callers.
"""
