"""Which files a page is made from. Whoever asks for the page has looked them up; the report finds none by itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RECITED, TRANSFER = "how much is recited", "transfer between tasks"
"""The parts of a page that are of no task."""


@dataclass(frozen=True)
class TaskFiles:
    """One task's artifacts; ``circuits`` by mode."""

    pairs: Path
    circuits: Mapping[str, Path]
    verification: Path


@dataclass(frozen=True)
class RunFiles:
    """A run's artifacts, None where the run has none.

    Attributes:
        absent: why a task has no part in it; unread: why another part has none though it is there.
        seconds: what each stage took.
    """

    config: Mapping[str, Mapping[str, Any]]
    tasks: Mapping[str, TaskFiles]
    absent: Mapping[str, str] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    scores: Path | None = None
    transfer: Path | None = None
    ground_truth: Path | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
