import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from memcirc.cli import MISTAKE, main
from memcirc.models import load_model
from memcirc.pairs.file import load_pairs
from memcirc.patching.sweep import patch_sweep
from tests.models import config, llama_style_tokenizer, random_pairs


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    AutoModelForCausalLM.from_config(config("gpt2")).save_pretrained(folder / "model")
    random_pairs(3, 5, steps=2).save(folder / "pairs.json")
    return folder


def options(given: Path) -> list[str]:
    return ["patch", "sweep", "--model", str(given / "model"), "--pairs", str(given / "pairs.json"), "--device", "cpu"]


@pytest.mark.parametrize(
    "sites", ["block_every", "head_all_pos_every", "head_out_by_pos", "blocks.1.attn.hook_z,hook_embed"]
)
def test_a_sweep_on_pairs_of_ones_own_is_that_of_the_library(sites: str, given: Path, tmp_path: Path) -> None:
    assert main([*options(given), "--sites", sites, "--run_dir", str(tmp_path)]) == 0
    model, pairs = load_model(str(given / "model"), device="cpu"), load_pairs(given / "pairs.json")
    expected = patch_sweep(
        model, [p.clean_ids for p in pairs], [p.corrupt_ids for p in pairs], [p.answer_ids[0] for p in pairs],
        [p.wrong_answer_ids[0] for p in pairs], sites=sites.split(",") if "." in sites else sites,
    )  # fmt: skip
    results = json.loads((tmp_path / "sweep" / "results.json").read_text())
    np.testing.assert_allclose(np.array(results["effects"], dtype=float), expected.matrix(), atol=1e-6)
    assert "<svg" in (tmp_path / "report" / "report.html").read_text()


def test_what_is_being_done_is_said(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*options(given), "--sites", "resid_pre", "--run_dir", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err.splitlines() == ["sweep of 3 pairs: resid_pre"]
    assert said.out == f"{tmp_path / 'report' / 'report.html'}\n"


@pytest.mark.parametrize("normalize", ["--normalize", "--no-normalize"])
def test_pairs_of_two_lengths_say_over_how_many_of_them_a_cell_is_a_mean(
    normalize: str, given: Path, tmp_path: Path
) -> None:
    random_pairs(3, (5, 3)).save(tmp_path / "pairs.json")
    more = ["--pairs", str(tmp_path / "pairs.json"), "--sites", "resid_pre", normalize, "--run_dir", str(tmp_path)]
    assert main([*options(given), *more]) == 0
    assert json.loads((tmp_path / "sweep" / "results.json").read_text())["n"][0] == [3, 3, 3, 2, 2]
    page = (tmp_path / "report" / "report.html").read_text()
    assert "the mean over the pairs that have it, 2 to 3." in page
    assert (">base run</th>" in page) == (normalize == "--no-normalize")


def test_a_pair_is_read_at_its_position(given: Path, tmp_path: Path) -> None:
    """Read at position 2, the pairs have the effects that they have when cut there."""
    pairs = random_pairs(3, 5, steps=2)
    replace(pairs, items=tuple(replace(pair, position=2) for pair in pairs)).save(tmp_path / "pairs.json")
    more = ["--pairs", str(tmp_path / "pairs.json"), "--run_dir", str(tmp_path), "--sites", "resid_pre"]
    assert main([*options(given), *more]) == 0
    cut = patch_sweep(
        load_model(str(given / "model"), device="cpu"), [p.clean_ids[:3] for p in pairs],
        [p.corrupt_ids[:3] for p in pairs], [p.answer_ids for p in pairs], [p.wrong_answer_ids for p in pairs],
    )  # fmt: skip
    effects = np.array(json.loads((tmp_path / "sweep" / "results.json").read_text())["effects"], dtype=float)
    np.testing.assert_allclose(effects[:, :3], cut.matrix(), atol=1e-5)
    assert (effects[:, 3:] == 0).all()


def test_a_pair_read_within_its_prompt_has_no_whole_answer_behind_it(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = random_pairs(2, 5, steps=2)
    replace(pairs, items=(pairs[0], replace(pairs[1], position=2))).save(tmp_path / "pairs.json")
    more = ["--pairs", str(tmp_path / "pairs.json"), "--run_dir", str(tmp_path), "--metric", "sequence_logprob"]
    assert main([*options(given), *more]) == 2
    assert "pair 1 is read at position 2, and whole answers are read behind its 5 tokens" in capsys.readouterr().err


def test_autocircuits_pairs_in_ids_and_alternatives_averaged(given: Path, tmp_path: Path) -> None:
    """Files as its loader takes them: ids in the fields of the text, any number of alternatives."""
    pairs = random_pairs(3, 5, alternatives=4)
    fields = {
        "clean": "clean_ids",
        "corrupt": "corrupt_ids",
        "answers": "answer_ids",
        "wrong_answers": "wrong_answer_ids",
    }
    prompts = [{name: list(getattr(pair, ids)) for name, ids in fields.items()} for pair in pairs]
    prompts[1]["answers"], prompts[2]["wrong_answers"] = prompts[1]["answers"][:1], prompts[2]["wrong_answers"][:2]
    (tmp_path / "pairs.json").write_text(json.dumps({"prompts": prompts}), encoding="utf-8")
    more = ["--pairs", str(tmp_path / "pairs.json"), "--sites", "resid_pre", "--run_dir", str(tmp_path)]
    assert main([*options(given), *more]) == 0
    results = json.loads((tmp_path / "sweep" / "results.json").read_text(encoding="utf-8"))
    model = load_model(str(given / "model"), device="cpu")
    ends = []
    for name in ("corrupt", "clean"):
        logits = model.logits([prompt[name] for prompt in prompts])[:, -1]
        ends.append(
            np.mean([
                float(row[prompt["answers"]].mean() - row[prompt["wrong_answers"]].mean())
                for row, prompt in zip(logits, prompts, strict=True)
            ])
        )  # fmt: skip
    np.testing.assert_allclose(results["ends"]["logit_diff"], ends, atol=1e-5)


def test_alternatives_are_no_whole_answer(given: Path) -> None:
    model = load_model(str(given / "model"), device="cpu")
    with pytest.raises(ValueError, match="'sequence_logprob' reads a whole answer, and those given are alternatives"):
        patch_sweep(model, [1, 2], [1, 3], [[4, 5]], metrics="sequence_logprob", alternatives=True)
    with pytest.raises(ValueError, match=r"'logit_diff' reads one; .* alternatives=True"):
        patch_sweep(model, [1, 2], [1, 3], [[4, 5]], [6])


def test_one_metric_may_be_named_without_a_list(given: Path) -> None:
    model = load_model(str(given / "model"), device="cpu")
    one, listed = (patch_sweep(model, [1, 2], [1, 3], [4], [5], metrics=m) for m in ("logit_diff", ["logit_diff"]))
    assert one.table.equals(listed.table)
    with pytest.raises(ValueError, match="metric 'speed' is not known"):
        patch_sweep(model, [1, 2], [1, 3], [4], [5], metrics="speed")


def test_bos_without_a_bos_token_and_text_without_a_tokenizer_are_one_line(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = {"clean": "a b", "corrupt": "a c", "answers": [" a"], "wrong_answers": [" b"]}
    (tmp_path / "pairs.json").write_text(json.dumps({"prompts": [text]}), encoding="utf-8")
    model = Path(shutil.copytree(given / "model", tmp_path / "model"))
    line = [
        *options(given),
        "--model",
        str(model),
        "--pairs",
        str(tmp_path / "pairs.json"),
        "--run_dir",
        str(tmp_path / "run"),
    ]
    assert main(line) == 2
    assert "pair 0: holds text alone, so a model with a tokenizer is needed" in capsys.readouterr().err
    llama_style_tokenizer(["a", "b", "c"], bos=False).save_pretrained(model)
    assert main([*line, "--bos"]) == 2
    assert "pair 0: BOS is asked for, and this tokenizer has no BOS token" in capsys.readouterr().err


def test_whole_answers_and_noising_without_normalising(given: Path, tmp_path: Path) -> None:
    more = ["--metric", "sequence_logprob", "--direction", "noise", "--no-normalize", "--run_dir", str(tmp_path)]
    assert main([*options(given), *more]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--sites", "resid_pree"], "sweep 'resid_pree' does not exist"),
        (["--direction", "up"], "direction 'up' is not known"),
        (["--metric", "speed"], "metric 'speed' is not known"),
        (["--pairs", ""], "a sweep needs --model and --pairs"),
    ],
)
def test_a_mistake_is_one_line(
    change: list[str], message: str, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(given), *change, "--run_dir", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_pair_of_equal_prompts_is_named(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = load_pairs(given / "pairs.json")
    equal = tmp_path / "equal.json"
    same = replace(pairs[1], corrupt_ids=pairs[1].clean_ids)
    replace(pairs, items=(pairs[0], same, *pairs.items[2:])).save(equal)
    assert main([*options(given), "--pairs", str(equal), "--run_dir", str(tmp_path / "run")]) == 2
    assert "pair 1: clean and corrupt prompts coincide" in capsys.readouterr().err


def test_a_finished_study_is_not_overwritten_by_another(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same is measured again; another one needs a directory of its own, or to be forced."""
    asked = [*options(given), "--run_dir", str(tmp_path), "--sites"]
    assert main([*asked, "resid_pre"]) == main([*asked, "resid_pre"]) == 0
    results = tmp_path / "sweep" / "results.json"
    before = results.read_bytes()
    assert main([*asked, "attn_out"]) == MISTAKE
    line = capsys.readouterr().err.splitlines()[-1]
    assert "sites was 'resid_pre', now 'attn_out'; choose another --run_dir, or --force to make it anew" in line
    assert results.read_bytes() == before
    assert main([*asked, "attn_out", "--force"]) == 0
    assert results.read_bytes() != before
    assert main([*asked, "resid_pre"]) == MISTAKE


def test_a_sweep_of_no_site_is_refused(given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*options(given), "--sites", "", "--run_dir", str(tmp_path)]) == MISTAKE
    assert "no site is named; accepted: hook names" in capsys.readouterr().err
