"""A study on a model that has learned little."""

from pathlib import Path

import pytest

from memcirc.cli import main

OPTIONS = ["--n_pairs", "2", "--top_heads", "1", "--device", "cpu"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("ioi")
    assert main(["patch", "ioi", "--run_dir", str(run_dir), "--steps", "12", *OPTIONS]) == 0
    return run_dir
