"""A finished run that a test may change."""

import shutil
from pathlib import Path

import pytest

from memcirc.run import auditing


@pytest.fixture
def copy(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one's own; its page, which takes seconds to make again, is looked at by a test of its own."""
    monkeypatch.delitem(auditing.CHECKS, "page")
    return Path(shutil.copytree(finished_run, tmp_path / "copy"))
