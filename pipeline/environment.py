"""Run a memcirc command from a script, in the checkout's own environment where memcirc is not installed elsewhere."""

import importlib.util
import os
import sys
from pathlib import Path

OWN = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"


def run(command: str) -> None:
    """Run ``memcirc COMMAND`` with this script's arguments, and exit with its status."""
    arguments = [command, *sys.argv[1:]]
    if importlib.util.find_spec("memcirc.cli") is not None:
        from memcirc.cli import main

        sys.exit(main(arguments))
    if not OWN.exists():
        sys.exit("memcirc is not installed: run 'make demo' once, or 'pip install .'")
    os.execv(OWN, [str(OWN), "-m", "memcirc", *arguments])
