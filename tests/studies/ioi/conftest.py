"""A study on a model that has learned little, and results made by hand."""

from pathlib import Path

import pytest

from memcirc.cli import main
from memcirc.studies.ioi.results import IoiResults
from tests.studies.ioi.made import ioi_results

OPTIONS = ["--n_pairs", "2", "--top_heads", "1", "--device", "cpu"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("ioi")
    assert main(["patch", "ioi", "--run_dir", str(run_dir), "--steps", "16", *OPTIONS]) == 0
    return run_dir


@pytest.fixture
def results() -> IoiResults:
    return ioi_results()
