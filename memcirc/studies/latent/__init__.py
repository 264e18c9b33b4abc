"""Latent thoughts: models that think in vectors fed back as inputs (CODI, Coconut, pause tokens)."""
