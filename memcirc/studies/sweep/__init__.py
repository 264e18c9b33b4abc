"""Sweeps on prompts of the user's own."""
