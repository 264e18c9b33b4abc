"""A caller's mistakes: one line that names the value and what is accepted, exit 2, nothing left behind."""

import json
import re
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config

from memcirc.cli import MISTAKE, main
from memcirc.demo import Demo
from memcirc.run.config import resolve
from tests.decoder.families import small


def refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run, expect a refusal, give its one line."""
    assert main(argv) == MISTAKE
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("memcirc: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def options(run_options: list[str], tmp_path: Path) -> list[str]:
    return ["run", *run_options, "--run_dir", str(tmp_path / "run")]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            ["--model_name", "no/such-model"],
            "'no/such-model' is neither a local folder",
        ),
        (["--dataset", "/no/such/file.jsonl"], "/no/such/file.jsonl"),
        (["--subset", "cookbooks"], "cookbooks.*Wikipedia \\(en\\)"),
        (["--threshold", "1.5"], r"threshold 1.5 is outside \[0, 1\]"),
        (["--low_threshold", "0.9"], "low_threshold 0.9 must be below threshold 0.6"),
        (["--patch_type", "NODE"], "mode 'NODE' is not known; accepted: tree, edge"),
        (["--prefix_lengths", "8,99"], "prefix length 99: the prompt has 16 tokens"),
        (["--metric", "rouge"], "metric 'rouge' is not known; accepted: bleu"),
        (["--optimize_metric", "loss"], "metric 'loss' is not known"),
        (["--device", "tpu9"], "device 'tpu9' is not known"),
        (["--mem_batch_size", "many"], "'many' is neither 'auto' nor a number"),
        (["--path", "/no/pairs.json"], "no file of pairs at /no/pairs.json"),
        (["--edge_count", "100000"], "100000 edges asked for; accepted: 0 to"),
    ],
)
def test_a_wrong_option_is_one_line(
    options: list[str], wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(message, refused([*options, *wrong], capsys))


def test_no_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model_name is needed" in refused(["score", "--run_dir", str(tmp_path / "run")], capsys)


def test_a_folder_without_weights_is_one_line(
    options: list[str], miniature: Demo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    GPT2Config().save_pretrained(empty)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (empty / name).write_bytes((miniature.model_dir / name).read_bytes())
    assert "has no weights" in refused([*options, "--model_name", str(empty)], capsys)


@pytest.mark.parametrize("command", ["run", "verify"])
def test_an_engine_that_does_not_compute_the_model_is_refused_before_any_work(
    command: str, options: list[str], miniature: Demo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    small("qwen3", torch.float32).save_pretrained(other)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (other / name).write_bytes((miniature.model_dir / name).read_bytes())
    run_dir = tmp_path / "run"
    if command == "verify":
        run_dir.mkdir()
        (run_dir / "config.yaml").write_text(f"model: {{model_name: {other}}}", encoding="utf-8")
        options = ["--run_dir", str(run_dir)]
    else:
        options = [*options[1:], "--model_name", str(other)]
    line = refused([command, *options, "--engine", "auto-circuit"], capsys)
    assert "a qwen3 has no form in TransformerLens here, which engine auto-circuit" in line
    assert not [path for path in run_dir.rglob("*") if path.name != "config.yaml"]


def test_a_corpus_without_a_window_is_refused(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "short.jsonl"
    corpus.write_text(json.dumps({"text": "the cat"}), encoding="utf-8")
    assert "gives no window of 28 tokens" in refused([*options, "--dataset", str(corpus)], capsys)


def test_windows_longer_than_the_model_reads_are_refused_before_the_corpus_is_cut(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused([*options, "--prompt_tokens", "5000"], capsys)
    assert re.search(r"passages of 50\d\d tokens do not fit .*'s context of \d+$", line)
    assert not (tmp_path / "run").exists()


LEARNED = ["--contrastive_mode", "learned", "--twin_name", "twin"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            ["--objective", "logprob_diff"],
            "objective 'logprob_diff': task learned with answer 'completion' is found and",
        ),
        (["--objective", "logit_diff"], "measured by sequence_logprob alone"),
        (["--grad_function", "prob"], "objective 'prob_diff': task learned"),
        (["--optimize_metric", "logit_diff"], "optimize_metric 'logit_diff': task learned"),
        (
            ["--optimize_metric", "sequence_logprob", "--answer", "tokens"],
            "'tokens' is found and measured by answer_logp",
        ),
    ],
)
def test_a_metric_that_no_task_follows_is_one_line(
    options: list[str], wrong: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refused([*options, *LEARNED, *wrong], capsys)
    (tmp_path / "c.yaml").write_text("discover: {metric: correct}\n")
    assert "optimize_metric 'correct'" in refused(["run", str(tmp_path / "c.yaml"), *options[1:], *LEARNED], capsys)
    assert not (tmp_path / "run").exists()


def test_a_method_that_is_not_defined_against_a_twin_is_refused_before_any_work(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused([*options, *LEARNED, "--method", "eap-ig-inputs"], capsys)
    assert "task learned: method 'eap-ig-inputs' is not defined for ablation 'twin'" in line
    assert not (tmp_path / "run").exists()


def test_a_metric_that_a_task_follows_is_taken() -> None:
    said = {"model_name": "m", "twin_name": "t", "objective": "logprob_diff", "optimize_metric": "logprob_diff"}
    assert resolve({}, said).of_task("learned").discover.objective == "sequence_logprob"
    own = {**said, "contrastive_mode": "learned", **dict.fromkeys(("objective", "optimize_metric"), "sequence_logprob")}
    assert resolve({}, own).of_task("learned").verify.metric == "sequence_logprob"


def test_a_run_that_is_gone_on_with_says_which_twin_it_keeps(
    options: list[str], miniature: Demo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, prepare = tmp_path / "run" / "config.yaml", ["prepare", *options[1:9], *options[-2:]]
    line = f"twin {miniature.twin_dir}: as {stored} has it; --twin_name '' --twin_revision '' leaves it out"
    for said, told in ((["--twin_name", str(miniature.twin_dir)], False), ([], True), (["--twin_name", ""], False)):
        assert main([*prepare, *said]) == 0
        assert (line in capsys.readouterr().err) == told
    assert f"twin_name: {miniature.twin_dir}" not in stored.read_text()


def corpus(tmp_path: Path, rows: list[dict[str, object]]) -> str:
    path = tmp_path / "corpus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_data_set_without_text_is_one_line(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused([*options, "--dataset", corpus(tmp_path, [{"body": "x"}])], capsys)
    assert "body" in line
    assert "text" in line


def test_documents_that_are_all_too_short_are_one_line(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused([*options, "--dataset", corpus(tmp_path, [{"text": "x"}] * 3)], capsys)
    assert "3" in line
    assert "28" in line


def test_no_memorized_passage_is_one_line_and_the_scores_are_kept(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "zq jx wv kp " * 30
    line = refused([*options, "--dataset", corpus(tmp_path, [{"text": text}]), "--threshold", "1.0"], capsys)
    assert "no passage reaches threshold 1.0: the highest bleu score of 1 passages is" in line
    assert (tmp_path / "run" / "score" / "done.json").is_file()
    assert not (tmp_path / "run" / "branch" / "pairs" / "pairs.json").exists()
    assert not list((tmp_path / "run").rglob("*.partial"))


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "the pair set is empty"),
        (
            [{"clean_ids": [1, 2], "corrupt_ids": [1], "answer_ids": [3], "wrong_answer_ids": [4]}],
            "clean has 2 tokens and corrupt 1",
        ),
    ],
)
def test_a_bad_file_of_pairs_is_one_line(
    options: list[str], tmp_path: Path, pairs: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps({"prompts": pairs}))
    assert message in refused([*options, "--path", str(tmp_path / "pairs.json")], capsys)


def test_an_unknown_preset_and_a_missing_run_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "accepted: mem_decision_random" in refused(["verify", "--preset", "all", str(tmp_path)], capsys)
    assert "no finished run in" in refused(["verify", "--preset", "branch_random", str(tmp_path)], capsys)


def test_an_unknown_key_in_a_configuration_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("discover: {igs: 3}\n")
    assert "section discover: 'igs' is not known; accepted:" in refused(["run", str(tmp_path / "c.yaml")], capsys)


def test_pairs_of_another_tokenizer_are_refused_before_attribution(
    options: list[str], finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((finished_run / "branch" / "pairs" / "pairs.json").read_text())
    header = content["memcirc"]
    assert header["tokenizer_fingerprint"]
    header["tokenizer_fingerprint"] = "0" * 16
    path = tmp_path / "foreign.json"
    path.write_text(json.dumps(content))
    assert "of tokenizer 0000000000000000" in refused([*options, "--path", str(path)], capsys)


def test_a_foreign_ranking_needs_a_size(
    finished_run: Path, run_options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    scores = str(finished_run / "branch" / "discover" / "edge_scores.safetensors")
    line = refused(["verify", str(finished_run), "--prune_scores_path", scores], capsys)
    assert "scores_path without n_edges" in line
