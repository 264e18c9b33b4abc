"""All benchmarks in turn: ``python -m benchmarks``."""

import subprocess
import sys

for name in ("attribution", "circuits", "search", "memory", "growth", "memorization", "verification", "patching"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)
