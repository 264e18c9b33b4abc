"""Benchmarks that no machine at hand can run whole: their road, on the processor."""

import json
from pathlib import Path

import pytest

from benchmarks import gpu, timing


def test_what_a_gpu_is_measured_by_runs_on_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "RESULTS", tmp_path)
    monkeypatch.setattr(timing, "RESULTS", tmp_path)
    gpu.measure_shape("pythia-14m", "bfloat16", "cpu")
    result = json.loads((tmp_path / "cpu-pythia-14m-bfloat16.json").read_text(encoding="utf-8"))
    assert [row["peer"] > 0 for row in result["rows"]] == 6 * [True]
    assert "mm" in (tmp_path / "profile-cpu-pythia-14m-bfloat16.txt").read_text(encoding="utf-8")
