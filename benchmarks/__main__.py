"""All benchmarks in turn: ``python -m benchmarks``. One that fails is named at the end; the others still run."""

import argparse
import subprocess
import sys

OTHER_SHAPES = {
    "smollm2-135m": ("2", "20", "8", "1"),
    "pythia-160m": ("2", "20", "8", "1"),
    "llama-1b": ("1", "5", "2", "0"),
}
"""Further shapes: how often each is measured, without AutoCircuit; on how many random circuits, how many windows, and
how often TransformerLens' sweep is."""
OF_ONE_SHAPE = (
    *("attribution", "circuits", "trained", "search", "default_checks", "verification"),
    *("growth", "twins", "memory", "patching", "precision", "studies", "page"),
)


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args()
    scripts: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in OF_ONE_SHAPE]
    for shape, (repeats, circuits, windows, sweeps) in OTHER_SHAPES.items():
        of_shape = ("--shape", shape, "--repeats", repeats)
        scripts += [(name, (*of_shape, "--peer-repeats", "0")) for name in ("attribution", "circuits")]
        scripts.append(("verification", (*of_shape, "--circuits", circuits)))
        scripts.append(("memorization", (*of_shape, "--windows", windows)))
        scripts.append(("patching", (*of_shape, "--peer-repeats", sweeps)))
    scripts.append(("memorization", ()))
    failed = []
    for name, given in scripts:
        command = [sys.executable, "-m", f"benchmarks.{name}", *given]
        if subprocess.run(command, check=False).returncode:
            failed.append(" ".join(command[1:]))
    if failed:
        raise SystemExit("failed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
