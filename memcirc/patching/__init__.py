"""Activation patching: write what a site holds in one run into another run, and measure what that changes.

It stands beside the circuit pipeline and shares its models, metrics and figures. The road through the room:
``sites`` (places to read and write) -> ``patches`` (what is written at once) -> ``grids`` (the named sweeps) ->
``sweep`` (every patch measured: by ``engine`` fast and exactly, by ``literal`` one full pass a patch). ``ioi``,
``pii`` and ``latent`` are three studies that end with a page.
"""
