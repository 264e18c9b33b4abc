"""All benchmarks in turn: ``python -m benchmarks``."""

import subprocess
import sys

OTHER_SHAPES = ("smollm2-135m", "pythia-160m")
OF_ONE_SHAPE = (
    *("attribution", "circuits", "twins", "search", "memory", "growth"),
    *("memorization", "verification", "patching"),
)
WITHOUT_PEER = ("--repeats", "2", "--peer-repeats", "0")

for name in OF_ONE_SHAPE:
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
for shape in OTHER_SHAPES:
    for name in ("attribution", "circuits"):
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", "--shape", shape, *WITHOUT_PEER], check=True)
