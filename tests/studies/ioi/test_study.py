"""The IOI study from its command, on a model that has learned little, and (slow) on the recipe's."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from memcirc.cli import main
from memcirc.models import load_model
from memcirc.pairs.tokenizing import answer_id, prompt_ids
from memcirc.studies.ioi.prompts import ROLES, drawn, words_for
from memcirc.studies.ioi.study import _metric_selftest
from memcirc.studies.stages import made_once

OPTIONS = ["--n_pairs", "2", "--top_heads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("ioi")
    assert main(["patch", "ioi", "--run_dir", str(run_dir), "--steps", "12", *OPTIONS]) == 0
    return run_dir


def test_one_command_makes_table_json_and_page(finished: Path) -> None:
    table = pq.read_table(finished / "ioi" / "patches.parquet")
    assert set(table["sweep"].to_pylist()) >= {"block_every (denoise)", "head_all_pos_every (noise)"}
    assert {"logit_diff", "logit_diff_normalized", "layer", "pos", "head", "example"} <= set(table.column_names)
    results = json.loads((finished / "ioi" / "results.json").read_text())
    assert results["metric_selftest"] == pytest.approx(
        {"clean run": 1.0, "corrupt run": 0.0, "half way": 0.5}, abs=1e-3
    )
    page = (finished / "report" / "report.html").read_text()
    for title in ("Heads, five ways", "Direct logit attribution", "Next tokens", "Attribution patching as a screen"):
        assert title in page
    assert json.loads((finished / "manifest.json").read_text())["config"]["ioi"]["n_pairs"] == 2


def test_a_finished_model_is_not_trained_again_and_other_settings_are_refused(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make() -> None:
        raise AssertionError("it is finished")

    made_once(finished / "model", {"seed": 0, "steps": 12}, False, make)
    assert main(["patch", "ioi", "--run_dir", str(finished), "--steps", "13", *OPTIONS]) == 2
    assert "steps was 12, now 13" in capsys.readouterr().err


def test_a_pair_of_prompts_of_the_user_is_swept_in_logits(finished: Path, tmp_path: Path) -> None:
    own = ["--clean_prompt", "After Rose and Carl went to the market, Carl gave the lamp to", "--answer", " Rose"]
    own += [
        "--corrupt_prompt",
        "After Rose and Carl went to the market, Rose gave the lamp to",
        "--wrong_answer",
        " Carl",
    ]
    model = str(finished / "model")
    own += ["--heads", "0.1,2.3"]
    assert main(["patch", "ioi", "--model", model, "--run_dir", str(tmp_path), *OPTIONS, *own]) == 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert "The pair you gave" in page
    assert "head 2.3 (effect" in page
    assert json.loads((tmp_path / "ioi" / "results.json").read_text())["factual"] is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--clean_prompt", "a"], "needs all of --clean_prompt"),
        (["--heads", "9"], "head '9' is not LAYER.HEAD"),
        (["--n_pairs", "1"], "n_pairs is 1; at least 2"),
        (["--model", "no/such"], "neither a local folder nor"),
    ],
)
def test_a_mistake_is_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["patch", "ioi", "--run_dir", str(tmp_path), *options]) == 2
    line = capsys.readouterr().err.strip()
    assert message in line
    assert line.startswith("memcirc:")
    assert "\n" not in line


def test_prompts_of_a_pair_differ_in_the_giver_alone(finished: Path) -> None:
    tokenizer = load_model(str(finished / "model"), device="cpu").tokenizer
    for pair in drawn(words_for(tokenizer), 10, 0):
        clean, corrupt = prompt_ids(tokenizer, pair.clean), prompt_ids(tokenizer, pair.corrupt)
        assert len(clean) == len(corrupt) == len(ROLES)
        assert [i for i, (a, b) in enumerate(zip(clean, corrupt, strict=True)) if a != b] == [ROLES.index("giver")]
        assert clean[10] == answer_id(tokenizer, pair.corrupt, pair.wrong)
        assert corrupt[10] == answer_id(tokenizer, pair.clean, pair.answer)
    with pytest.raises(ValueError, match="' Rose Carl' is 2 tokens; one is needed"):
        answer_id(tokenizer, "After", " Rose Carl")


def test_a_metric_that_is_not_what_it_says_fails_its_self_test() -> None:
    answer, wrong = torch.tensor([0]), torch.tensor([1])
    with pytest.raises(ValueError, match="the metric's self-test failed"):
        _metric_selftest({"clean": torch.zeros(1, 3), "corrupt": torch.zeros(1, 3)}, answer, wrong)


@pytest.mark.slow
def test_the_recipe_learns_the_task(tmp_path: Path) -> None:
    assert main(["patch", "ioi", "--run_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "ioi" / "results.json").read_text())
    assert results["correct"]["clean"] == 1.0
    assert results["logit_diff"]["clean"] > 5
    both = results["screens"][-1]
    assert both["with_fix"] >= 0.98 > both["without_fix"]
