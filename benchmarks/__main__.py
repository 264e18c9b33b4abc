"""All benchmarks in turn: ``python -m benchmarks``. One that fails is named at the end; the others still run."""

import argparse
import subprocess
import sys

OTHER_SHAPES = {"smollm2-135m": "2", "pythia-160m": "2", "llama-1b": "1"}
"""Further shapes, and how often each is measured, without the peer."""
OF_ONE_SHAPE = (
    *("attribution", "circuits", "trained", "search", "default_checks", "verification"),
    *("growth", "twins", "memory", "patching", "precision", "studies", "page"),
)


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args()
    scripts: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in OF_ONE_SHAPE]
    for shape, repeats in OTHER_SHAPES.items():
        arguments = ("--shape", shape, "--repeats", repeats, "--peer-repeats", "0")
        scripts += [(name, arguments) for name in ("attribution", "circuits")]
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
