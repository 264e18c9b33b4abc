"""``RUN/manifest.json``: how a run came about, so that it can be repeated and believed."""

import importlib.metadata
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from memcirc.artifacts import read_json, write_json

PACKAGES = ("memcirc", "torch", "transformers", "transformer-lens", "auto-circuit", "datasets", "numpy", "pyarrow")


def record(run_dir: Path, argv: list[str], config: dict[str, Any], device: str, seconds: dict[str, float]) -> None:
    """Add this command to the manifest: what was asked, with what, and how long each stage took.

    Args:
        seconds: of the stages that this command ran; those of earlier commands are kept.
    """
    path = run_dir / "manifest.json"
    earlier = _earlier(path)
    write_json(
        path,
        {
            "argv": [*earlier.get("argv", []), argv],
            "config": config,
            "versions": installed(),
            "git": _git_state(),
            "machine": {"platform": platform.platform(), "processor": platform.machine(), "device": device},
            "seconds": {**earlier.get("seconds", {}), **{k: round(v, 2) for k, v in seconds.items()}},
            "peak_memory_mib": round(peak_memory_mib()),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    )


def _earlier(path: Path) -> dict[str, Any]:
    """What earlier commands have recorded; empty, with a line on stderr, where the manifest is damaged."""
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
        if isinstance(content.get("argv", []), list) and isinstance(content.get("seconds", {}), dict):
            return dict(content)
        reason = "not a manifest"
    except (ValueError, AttributeError, TypeError) as error:
        reason = str(error)
    print(f"{path} cannot be read ({reason}); it is begun anew", file=sys.stderr)
    return {}


def peak_memory_mib() -> float:
    """Largest resident size of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def installed() -> dict[str, str | None]:
    """The versions of Python and of the packages that numbers may depend on; None for what is not there."""
    return {name: _version(name) for name in PACKAGES} | {"python": platform.python_version()}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state() -> dict[str, Any] | None:
    """Commit and cleanliness of the checkout that memcirc runs from, None outside one."""
    folder = Path(__file__).parent
    try:
        commit, status = (
            subprocess.run(
                ["git", *words], cwd=folder, capture_output=True, encoding="utf-8", check=True, timeout=10
            ).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit.strip(), "clean": not status.strip()}
