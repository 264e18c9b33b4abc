"""A study of indirect objects on a real model, as its users start it: python -m benchmarks.studies [--model FOLDER]

The default is SmolLM2-135M from the package that ships it (30 layers, 9 heads); pairs of 15 tokens.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Row, report
from memcirc.demo.real.shipped import shipped_file

LIMIT = 180


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    try:
        model = options.model or shipped_file()
    except FileNotFoundError as reason:
        print(f"the study is left out: {reason}")
        return
    with tempfile.TemporaryDirectory() as folder:
        asked = ["--model", str(model), "--n_pairs", str(options.pairs), "--run_dir", folder]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "memcirc", "patch", "ioi", *asked], check=True)
        seconds = time.perf_counter() - start
    rows = [Row(f"patch ioi, {options.pairs} pairs, everything", seconds, LIMIT, f"{LIMIT} seconds", 1.0, True)]
    report("studies", f"A study of indirect objects, {model.stem}", rows, model=model.name)


if __name__ == "__main__":
    main()
