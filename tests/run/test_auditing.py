"""What an audit finds, also where whoever changed a file has changed its hashes as well."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memcirc.cli import FAILURE, MISTAKE, main
from memcirc.pairs.record import Pairs, TooFewPairs
from memcirc.run import auditing
from memcirc.run.auditing import audit, leaks
from memcirc.run.reading import Run
from memcirc.run.remeasuring import Number, numbers_of
from tests.models import random_pairs
from tests.run.forging import forged, rehash
from tests.run.test_reading import tree


@pytest.fixture
def copy(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of one's own; its page, which takes seconds to make again, is looked at by a test of its own."""
    monkeypatch.delitem(auditing.CHECKS, "page")
    return Path(shutil.copytree(finished_run, tmp_path / "copy"))


def found(run_dir: Path, share: float = 0.0) -> dict[str, tuple[str, ...]]:
    """The findings of an audit, by check."""
    return {name: checked.findings for name, checked in audit(run_dir, share).items() if checked.findings}


def test_a_finished_run_holds_in_every_number_and_is_not_written(
    finished_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(finished_run)
    assert main(["audit", str(finished_run), "--share", "1"]) == 0
    assert tree(finished_run) == before
    said = capsys.readouterr().out
    checks = [line.split()[0] for line in said.splitlines()[2:-1]]
    assert checks == ["files", "inputs", "splits", "leakage", "circuits", "arithmetic", "versions", "page", "numbers"]
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


def test_a_faithfulness_that_its_ends_do_not_give_is_found_without_a_model(copy: Path) -> None:
    def change(content: Any) -> None:
        content["cells"][0]["faithfulness"] += 0.01

    forged(copy / "transfer" / "transfer.json", change)
    (line,) = found(copy)["arithmetic"]
    assert "transfer: tree, resample, noising: faithfulness 0.9" in line


def change_first_edge(content: Any) -> None:
    next(edge for edge in content["edges"].values() if edge["in_graph"])["in_graph"] = False


def change_first_score(content: Any) -> None:
    next(iter(content["edges"].values()))["score"] += 0.5


def swap_edges(content: Any) -> None:
    change_first_edge(content)
    next(edge for edge in content["edges"].values() if not edge["in_graph"] and abs(edge["score"]) < 0.01)[
        "in_graph"
    ] = True


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_first_edge, "states 39 edges, it has 38"),
        (change_first_score, "its scores are not those of branch/discover/edge_scores.safetensors"),
        (swap_edges, "not the first 39 edges of its scores by abs"),
    ],
)
def test_a_circuit_that_is_not_its_scores_is_found(copy: Path, change: Callable[[Any], None], told: str) -> None:
    path = copy / "branch" / "discover" / "circuit.json"
    size = json.loads(path.read_text())["memcirc"]["n_edges"]
    forged(path, change)
    assert told.replace("39", str(size)).replace("38", str(size - 1)) in " ".join(found(copy)["circuits"])


def test_circuits_and_verifications_of_other_pairs_are_found(copy: Path) -> None:
    forged(copy / "branch" / "pairs" / "pairs.json", lambda content: content["prompts"].reverse())
    told = " ".join(found(copy)["splits"])
    for what in (
        "edge scores, on train",
        "circuit tree, on train",
        "size of circuit edge, on validation",
        "verify, on",
    ):
        assert what in told, what


def test_a_family_that_two_splits_share_is_found_although_the_pairs_do_not_say_so(copy: Path) -> None:
    """Somebody has taken the families out of the pairs: splits are drawn that put siblings apart."""

    def change(content: Any) -> None:
        for prompt in content["prompts"]:
            prompt.pop("family", None)
            prompt.pop("divergence", None)
            prompt.pop("corrupt_doc_id", None)

    forged(copy / "branch" / "pairs" / "pairs.json", change)
    assert any("branch: family " in line for line in found(copy)["leakage"])


def test_a_task_of_too_few_pairs_has_no_splits_and_the_others_are_checked(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, split = audit(copy, share=0.0)["leakage"], Run.splits

    def splits(run: Run, task: str) -> tuple[Pairs, ...]:
        if task == "memorization":
            raise TooFewPairs("2 groups of pairs; 3 are needed")
        return split(run, task)

    monkeypatch.setattr(Run, "splits", splits)
    monkeypatch.setattr(auditing, "cells_of", lambda run: ())
    left = audit(copy, share=0.0)["leakage"]
    assert left.findings == ()
    assert left.remark == "memorization has no splits: 2 groups of pairs; 3 are needed"
    assert left.number == whole.number - len(Run(copy).pairs("memorization"))


def test_leaks_of_every_kind_are_named() -> None:
    pairs = [replace(pair, doc_id=f"d{i}") for i, pair in enumerate(random_pairs(8, seed=1))]
    apart = [Pairs(tuple(pairs[i : i + 2])) for i in (0, 2, 4)]
    assert not leaks(apart, {"d0": "a", "d1": "a", "d2": ""})
    assert leaks(apart, {"d0": "a", "d2": "a"}) == ["family a is in train and validation"]
    same_document = Pairs((replace(pairs[6], doc_id="d1"), pairs[7]))
    assert leaks([*apart[:2], same_document], {}) == ["doc d1 is in test and train"]
    (prompt,) = {line.split()[0] for line in leaks([apart[0], apart[1], Pairs((replace(pairs[0], doc_id="x"),))], {})}
    assert prompt == "prompt"


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
