"""What an audit finds, also where whoever changed a file has changed its hashes as well."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from memcirc.cli import FAILURE, MISTAKE, main
from memcirc.run import auditing
from memcirc.run.auditing import audit
from memcirc.run.reading import Run
from memcirc.run.remeasuring import Number, numbers_of
from tests.run.forging import forged, found, rehash
from tests.run.test_reading import tree


def test_a_finished_run_holds_in_every_number_and_is_not_written(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(finished_run)
    assert main(["audit", str(finished_run), "--share", "1"]) == 0
    assert tree(finished_run) == before
    said = capsys.readouterr().out
    checks = [line.split()[0] for line in said.splitlines()[2:-1]]
    assert checks == [*auditing.CHECKS, "numbers"]
    assert "nothing was found that does not hold" in said


def test_a_tenth_is_measured_again_and_none_without_a_model(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checked = audit(copy)["numbers"]
    assert checked.number == round(0.1 * int(checked.of.split()[0])) > 10
    monkeypatch.setattr("memcirc.run.loading.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    assert "numbers" not in audit(copy, share=0.0)
    assert main(["audit", str(copy), "--share", "2"]) == MISTAKE
    assert "share 2.0 is outside [0, 1]" in capsys.readouterr().err
    assert main(["audit", str(copy / "none")]) == MISTAKE


def test_a_changed_hash_is_found_and_ends_with_one(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = copy / "windows" / "windows.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert main(["audit", str(copy), "--share", "0"]) == FAILURE
    assert f"files: {path} is damaged, or was changed by hand" in capsys.readouterr().out


def test_an_input_that_is_gone_is_found(copy: Path) -> None:
    (copy / "points" / "points.parquet").unlink()
    told = " ".join(found(copy)["files"])
    assert "points.parquet is gone" in told
    assert "branch/pairs: made from points/points.parquet, which is gone" in told


def test_a_number_that_was_changed_with_all_that_belongs_to_it_is_measured_again(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more, place = 0.001, "branch/verify: tree, zero, denoising"

    def some(run: Run) -> list[Number]:
        return [number for number in numbers_of(run) if number.place in (place, place.replace("de", ""))]

    monkeypatch.setattr(auditing, "numbers_of", some)
    assert not found(copy, share=1.0)

    def change(content: Any) -> None:
        row = content["faithfulness"][3]
        row["faithfulness"] += more
        row["value"] += more * (row["everything"] - row["nothing"])

    forged(copy / "branch" / "verify" / "verification.json", change)
    (line,) = found(copy, share=1.0)["numbers"]
    assert f"{place}: states" in line


def test_another_model_tokenizer_or_corpus_is_found(run_options: list[str], copy: Path, tmp_path: Path) -> None:
    text = (copy / "config.yaml").read_text()
    model = Path(shutil.copytree(run_options[1], tmp_path / "model"))
    (copy / "config.yaml").write_text(text.replace(run_options[1], str(model)))
    settings = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**settings, "layer_norm_epsilon": 1e-4}))
    (model / "tokenizer_config.json").write_text("{}")
    told = " ".join(found(copy)["inputs"])
    assert "score: weights was" in told
    assert "windows: tokenizer_files was" in told
    corpus = Path(shutil.copy(run_options[3], tmp_path / "corpus.jsonl"))
    (copy / "config.yaml").write_text(text.replace(run_options[3], str(corpus)))
    lines = corpus.read_text().splitlines(keepends=True)
    corpus.write_text("".join(lines[1:]))
    assert "windows: data file corpus.jsonl was" in " ".join(found(copy)["inputs"])


def test_another_version_is_told_and_is_no_finding(copy: Path) -> None:
    path = copy / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "versions": {**content["versions"], "torch": "1.0"}}))
    assert "torch was 1.0" in audit(copy, share=0.0)["versions"].remark
    assert not found(copy)
    path.unlink()
    assert "manifest.json is not there" in found(copy)["versions"][0]


def test_a_page_that_says_something_else_is_found(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(finished_run, tmp_path / "copy"))

    def again(_: object, out: Path) -> Path:
        return Path(shutil.copytree(finished_run / "report", out, dirs_exist_ok=True))

    monkeypatch.setattr(auditing, "write_report", again)
    assert not found(copy)
    page = copy / "report" / "report.md"
    page.write_text(page.read_text().replace("0.9", "1.0"))
    assert f"{page} is not what the artifacts give; `memcirc report {copy}` makes it anew" in found(copy)["page"]


def test_what_cannot_be_checked_is_a_finding(copy: Path) -> None:
    (copy / "branch" / "verify" / "verification.json").write_text("{}")
    rehash(copy)
    told = found(copy, share=1.0)
    assert told["numbers"][0].startswith("cannot be checked: ")
    (copy / "score" / "done.json").write_text("[]")
    assert "not a stage's marker" in found(copy)["files"][0]
