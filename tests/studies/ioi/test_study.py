"""The IOI study from its command, on a model that has learned little, and (slow) on the recipe's."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from memcirc.cli import MISTAKE, main
from memcirc.metrics import Answers
from memcirc.models import load_model
from memcirc.patching import sweep
from memcirc.patching.measuring import measure
from memcirc.patching.prompts import prompts_of
from memcirc.studies.ioi import study
from memcirc.studies.ioi.prompts import drawn, words_for
from memcirc.studies.ioi.study import _metric_selftest, by_position, encoded
from memcirc.studies.stages import made_once
from tests.patching.test_sweep import of_peer
from tests.studies.ioi.conftest import OPTIONS
from tests.studies.ioi.made import sweep as made_sweep


def test_one_command_makes_table_json_and_page(finished: Path) -> None:
    table = pq.read_table(finished / "ioi" / "patches.parquet")
    assert set(table["sweep"].to_pylist()) >= {"block_every (denoise)", "head_all_pos_every (noise)"}
    assert {"logit_diff", "logit_diff_normalized", "layer", "pos", "head", "example"} <= set(table.column_names)
    results = json.loads((finished / "ioi" / "results.json").read_text())
    assert results["metric_selftest"] == pytest.approx(
        {"clean run": 1.0, "corrupt run": 0.0, "half way": 0.5}, abs=1e-3
    )
    assert json.loads((finished / "manifest.json").read_text())["config"]["ioi"]["n_pairs"] == 2


def test_results_are_those_of_the_hooked_model(finished: Path) -> None:
    """Logits, a head sweep of TransformerLens, and shares that add up, on the study's own pairs."""
    model = load_model(str(finished / "model"), device="cpu")
    pairs = encoded(model, drawn(words_for(model.tokenizer), 2, 1))
    results = json.loads((finished / "ioi" / "results.json").read_text())
    answer, wrong = Answers.of(pairs, model.d_vocab).columns.unbind(1)
    ids = {name: prompts.ids for name, prompts in zip(("clean", "corrupt"), prompts_of(model, pairs), strict=True)}
    logits = {name: model.hooked(rows, prepend_bos=False)[:, -1] for name, rows in ids.items()}
    for name, right in (("clean", answer), ("corrupt", wrong)):
        difference = logits[name].gather(1, answer[:, None]) - logits[name].gather(1, wrong[:, None])
        assert results["logit_diff"][name] == pytest.approx(float(difference.mean()), abs=1e-4)
        assert results["correct"][name] == float((logits[name].argmax(-1) == right).float().mean())
    of_heads = of_peer(model, "head_out_all_pos", ids["clean"], ids["corrupt"], answer, wrong)
    np.testing.assert_allclose(results["sweeps"]["head_out_all_pos (denoise)"]["matrix"], of_heads, atol=1e-3)
    direct = results["direct_logit_attribution"]
    shares = direct["embed"] + direct["biases"] + np.sum(direct["heads"]) + np.sum(direct["mlps"])
    assert shares == pytest.approx(results["logit_diff"]["clean"], abs=1e-4)
    best = logits["clean"][0].softmax(-1).max().item()
    assert next(iter(results["top_tokens"].values()))[0][1] == pytest.approx(best, abs=1e-5)


def test_a_metric_that_both_runs_have_alike_is_left_out(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that has learned little gets nothing right, so that nothing can be normalised by it."""
    monkeypatch.setattr(study, "METRICS", ("logit_diff", "correct", "kl"))
    model = load_model(str(finished / "model"), device="cpu")
    pairs = encoded(model, drawn(words_for(model.tokenizer), 2, 1))
    assert study.differing(model, pairs, tmp_path) == ["logit_diff", "kl"]
    assert "left out, as both runs have the same: correct" in capsys.readouterr().err


def test_sweeps_that_are_done_are_not_made_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was interrupted goes on behind the last sweep; every sweep has its line, before and after it."""
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    lines = capsys.readouterr().err
    assert len(list((copy / "ioi" / "sweeps").iterdir())) == 9  # one of a single place tells which metrics differ
    table = (copy / "ioi" / "patches.parquet").read_bytes()
    last = max((copy / "ioi" / "sweeps").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    last.unlink()
    measured = []
    monkeypatch.setattr(sweep, "measure", lambda *given: measured.append(given) or measure(*given))
    assert main(["patch", "ioi", "--run_dir", str(copy), "--steps", "16", *OPTIONS]) == 0
    assert len(measured) == 1
    assert (copy / "ioi" / "patches.parquet").read_bytes() == table
    lines = capsys.readouterr().err
    assert re.search(
        r"^\d+ places of 2 pairs, and heads' queries .*: about \d+ (s|min), less what is kept$", lines, re.M
    )
    for name in ("block_every (noise)", "head_all_pos_every (denoise)", "head_k_by_pos (denoise)"):
        assert re.search(rf"^{re.escape(name)}: \d+ places in [\d.]+ s$", lines, re.M)
    assert re.search(r"^about 0 s to go before queries and keys", lines, re.M)


def test_queries_by_position_are_those_of_heads_with_an_effect() -> None:
    """Six heads; queries have effects .5, -.3, .02, .01, 0, 0: three have one, and a fourth fills up."""
    effects = np.zeros((5, 2, 3))
    effects[1] = [[0.5, -0.3, 0.0], [0.02, 0.01, 0.0]]
    five = made_sweep(effects, "kind", "layer", "head")
    kinds = ("z", "q", "k", "v", "pattern")
    five = replace(five, patches=tuple(
        replace(patch, sites=(replace(patch.sites[0], kind=kinds[cell[0]]),))
        for patch, cell in zip(five.patches, five.cells, strict=True)
    ))  # fmt: skip
    patches = by_position(five, "q", 2, every_head=False)
    chosen = [(patch.sites[0].layer, patch.sites[0].heads, patch.sites[0].positions) for patch in patches]
    assert chosen == [(layer, (head,), (p,)) for layer, head in ((0, 0), (0, 1), (1, 0), (1, 1)) for p in (0, 1)]
    assert len(by_position(five, "q", 2, every_head=True)) == 12
    assert {patch.sites[0].kind for patch in by_position(five, "k", 2, every_head=False)} == {"k"}


def test_a_finished_model_is_not_trained_again_and_other_settings_are_refused(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def make() -> None:
        raise AssertionError("it is finished")

    made_once(finished / "model", {"seed": 0, "steps": 16}, False, make)
    assert main(["patch", "ioi", "--run_dir", str(finished), "--steps", "17", *OPTIONS]) == 2
    assert "steps was 16, now 17" in capsys.readouterr().err


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


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--heads", "9.0"], "layer 9 is out of range"),
        (
            ["--clean_prompt", "When", "--corrupt_prompt", "When Mary", "--answer", " a", "--wrong_answer", " b"],
            "pair 0",
        ),
    ],
)
def test_what_the_user_names_is_looked_at_before_any_sweep(
    more: list[str], message: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["patch", "ioi", *OPTIONS, "--model", str(finished / "model"), "--run_dir", str(tmp_path)]
    assert main([*asked, *more]) == MISTAKE
    said = capsys.readouterr().err
    assert message in said
    assert "places of" not in said
