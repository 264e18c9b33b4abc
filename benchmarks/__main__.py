"""All benchmarks in turn: ``python -m benchmarks``. One that fails is named at the end; the others still run."""

import subprocess
import sys

OTHER_SHAPES = ("smollm2-135m", "pythia-160m")
OF_ONE_SHAPE = (
    *("attribution", "circuits", "trained", "search", "default_checks", "verification"),
    *("growth", "twins", "memory", "patching", "precision", "studies", "page"),
)
WITHOUT_PEER = ("--repeats", "2", "--peer-repeats", "0")


def main() -> None:
    scripts: list[tuple[str, tuple[str, ...]]] = [(name, ()) for name in OF_ONE_SHAPE]
    for shape in OTHER_SHAPES:
        scripts += [(name, ("--shape", shape, *WITHOUT_PEER)) for name in ("attribution", "circuits")]
    scripts.append(("memorization", ()))
    failed = []
    for name, arguments in scripts:
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        if subprocess.run(command, check=False).returncode:
            failed.append(" ".join(command[1:]))
    if failed:
        raise SystemExit("failed: " + "; ".join(failed))


if __name__ == "__main__":
    main()
