"""Runs that somebody has changed and made consistent again: every marker's hashes are those of what stands there; and
what an audit finds of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from memcirc.artifacts import DONE, file_hash
from memcirc.run.auditing import audit


def forged(path: Path, change: Callable[[Any], object]) -> None:
    """Change the content of a JSON artifact in place, and make the run that it is in consistent."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    run_dir = next(folder for folder in path.parents if (folder / "config.yaml").is_file())
    rehash(run_dir)


def rehash(run_dir: Path) -> None:
    """Write the hashes of what stands there into every marker of a run."""
    for marker in run_dir.rglob(DONE):
        content = json.loads(marker.read_text(encoding="utf-8"))
        content["outputs"] = {name: file_hash(marker.parent / name) for name in content["outputs"]}
        content["inputs"] = {
            key: file_hash(run_dir / key) if (run_dir / key).is_file() else was
            for key, was in content["inputs"].items()
        }
        marker.write_text(json.dumps(content), encoding="utf-8")


def found(run_dir: Path, share: float = 0.0) -> dict[str, tuple[str, ...]]:
    """The findings of an audit, by check."""
    return {name: checked.findings for name, checked in audit(run_dir, share).items() if checked.findings}
