"""Figures do not depend on the user's settings of matplotlib, and leave them alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import hashlib
from memcirc.report.corpus import dose_response
from memcirc.report.figures import svg
print(hashlib.sha256(svg(dose_response([1, 2], [True, False], [0.1, 0.2])).encode()).hexdigest())
"""
STATE = """
import os
from memcirc.report.plotting import matplotlib
print(os.environ.get("MPLBACKEND"), matplotlib.get_backend(), matplotlib.rcParams["lines.linewidth"])
"""


def said(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def expected() -> str:
    return said(DRAW).stdout


@pytest.mark.parametrize(
    "backend", ["module://matplotlib_inline.backend_inline", "module://nowhere.at_all", "tkagg", "nonsense"]
)
def test_a_backend_does_not_matter(backend: str, expected: str) -> None:
    found = said(DRAW, MPLBACKEND=backend)
    assert (found.stdout, found.stderr) == (expected, "")


@pytest.mark.parametrize(
    "content", [b"figure.figsize: a\nno colon\n", b"\xff\xfe", b"text.usetex: True\nfont.size: 40\n"]
)
def test_a_file_of_settings_does_not_matter(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(content)
    found = said(DRAW, MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    assert (found.stdout, found.stderr) == (expected, "")


def test_a_folder_that_cannot_be_written_does_not_matter(expected: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = said(DRAW, MPLCONFIGDIR=str(tmp_path / "file" / "matplotlib"), HOME=str(tmp_path / "file"))
    assert (found.stdout, found.stderr) == (expected, "")


def test_a_backend_and_settings_that_work_stay_the_users(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 7\n")
    found = said(STATE, MPLBACKEND="svg", MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    assert found.stdout.split() == ["svg", "svg", "7.0"]
