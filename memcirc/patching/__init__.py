"""Activation patching: write what a site holds in one run into another run, and measure what that changes.

It stands beside the circuit pipeline and shares its models, pairs and metrics. The road through the room: ``sites``
(places to read and write) -> ``patches`` (what is written at once) -> ``grids`` (the named sweeps) -> ``sweep`` (every
patch measured: by ``engine`` fast and exactly, by ``literal`` one full pass a patch) -> ``result``. Pairs of prompts
become two runs in ``prompts`` and ``sides``; ``programs`` are runs with latent thoughts.
"""
