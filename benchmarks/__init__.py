"""Side-by-side timings of the native engine with AutoCircuit, TransformerLens and transformers.

Each script runs alone (``python -m benchmarks.attribution``), measures all engines in one process in turn, prints a
table of ratios with their targets, and writes ``benchmarks/results/<name>.json``. Ratios matter, not seconds. Nothing
here is a test.
"""
