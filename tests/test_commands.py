"""What the commands that bring a model of their own ask of a run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from memcirc.cli import main
from memcirc.run.config import RunConfig
from memcirc.verification.checks import DEFAULT_CHECKS


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[RunConfig]:
    """The configurations of runs that are begun; nothing is trained and no stage is run."""
    demo = SimpleNamespace(
        model_dir=tmp_path / "model", twin_dir=tmp_path / "twin", corpus_path=tmp_path / "corpus.jsonl",
        prompt_tokens=8, generation_tokens=8,
    )  # fmt: skip
    found: list[RunConfig] = []
    for module, name in (("memcirc.demo", "ensure"), ("memcirc.demo.real", "ensure_real")):
        monkeypatch.setattr(f"{module}.{name}", lambda cache: demo)

    def begun(run_dir: Path, config: RunConfig, *others: Any) -> None:
        found.append(config)

    monkeypatch.setattr("memcirc.run.command.run_stages", begun)
    return found


def test_the_demo_refines_its_circuits_and_looks_for_one_that_is_specific(asked: list[RunConfig]) -> None:
    assert main(["demo"]) == 0
    assert asked[0].discover.refine
    assert asked[0].verify.checks.split(",") == [*DEFAULT_CHECKS, "specific", "methods"]


def test_what_is_said_counts_before_what_a_demo_asks(asked: list[RunConfig]) -> None:
    assert main(["demo", "--checks", "faithfulness", "--no_refine"]) == 0
    assert main(["demo-real", "--n_passages", "3"]) == 0
    assert (asked[0].discover.refine, asked[0].verify.checks) == (False, "faithfulness")
    assert (asked[1].verify.n_passages, asked[1].model.contrastive_mode) == (3, "learned")
