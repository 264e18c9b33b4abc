"""Nothing goes wrong without a word: a finished run of which a file has been changed, and stays readable, is refused,
flagged by an audit, or gives what it gave."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memcirc.artifacts import DONE
from memcirc.run import auditing
from tests.run.changes import INPUTS, artifacts, counted, drawn

FEW = 60
MANY = int(os.environ.get("CHANGES", "2100"))  # of which some change nothing


@pytest.fixture
def fresh(
    finished_run: Path, run_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Path]:
    """Makes a run, always in the same place, with a model and a corpus of its own, as its markers and configuration
    have it; without its page, which says nothing that is not in the files."""
    monkeypatch.delitem(auditing.CHECKS, "page")
    model, corpus, copy = Path(run_options[1]), Path(run_options[3]), tmp_path / "copy"

    def make() -> Path:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(finished_run, copy, ignore=shutil.ignore_patterns("report"))
        shutil.copytree(model, copy / "inputs" / "model")
        shutil.copy(corpus, copy / "inputs" / "corpus.jsonl")
        for path in (copy / "config.yaml", *copy.rglob(DONE)):
            text = path.read_text(encoding="utf-8").replace(str(model), str(copy / "inputs" / "model"))
            path.write_text(text.replace(str(corpus), str(copy / "inputs" / "corpus.jsonl")), encoding="utf-8")
        return copy

    return make


def told(counts: dict[str, int]) -> str:
    return f"{sum(counts.values())} changes: {', '.join(f'{n} {kind}' for kind, n in sorted(counts.items()))}"


def test_no_change_is_silent(fresh: Callable[[], Path]) -> None:
    run_dir = fresh()
    files = len(artifacts(run_dir)) + len(INPUTS)
    assert {drawn(run_dir, number).file for number in range(files)} == {
        *artifacts(run_dir), *(f"inputs/{name}" for name in INPUTS)
    }  # fmt: skip
    counts, wrong = counted(run_dir, range(FEW), fresh)
    assert not wrong
    assert counts["refused"] > FEW // 2


@pytest.mark.slow
def test_no_change_of_many_is_silent(fresh: Callable[[], Path], count: Callable[[str], None]) -> None:
    counts, wrong = counted(fresh(), range(FEW, FEW + MANY), fresh)
    count(told(counts))
    assert not wrong
    assert sum(counts.values()) > 0.96 * MANY
