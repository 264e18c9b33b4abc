"""From texts to what is recited of them: windows, scores, counts, and what is refused."""

import inspect
import json
from dataclasses import replace
from typing import Any

import pytest

import memcirc
from memcirc.demo import Demo
from memcirc.memorization.scan import THRESHOLDS, Scan, scan
from memcirc.memorization.scores import score
from memcirc.models import Model, load_model
from tests.models import small_model


@pytest.fixture(scope="module")
def model(miniature: Demo) -> Model:
    return load_model(str(miniature.model_dir), "cpu")


@pytest.fixture(scope="module")
def texts(miniature: Demo) -> list[str]:
    lines = miniature.corpus_path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines][:20]


@pytest.fixture(scope="module")
def scanned(model: Model, texts: list[str]) -> Scan:
    return scan(model, ["short", *texts], prompt_tokens=16, generation_tokens=12)


def test_scores_are_those_of_score_on_the_same_windows(model: Model, texts: list[str], scanned: Scan) -> None:
    ids = [model.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    windows = [tokens[start : start + 28] for tokens in ids for start in range(0, len(tokens) - 27, 28)]
    expected = score(model, windows, 16, 12)
    for name in ("exact", "memorization_score", "bleu4", "logprob"):
        assert scanned.table[name].to_pylist() == expected[name].to_pylist()
    assert (scanned.n_texts, scanned.too_short, len(scanned)) == (21, 1, len(windows))
    assert set(scanned.table["text"].to_pylist()) == set(range(1, 21))
    assert any(scanned.table["exact"].to_pylist())


def test_prompt_and_truth_are_the_windows_text(texts: list[str], scanned: Scan) -> None:
    for row in scanned.table.to_pylist():
        if row["offset"] == 0:
            assert texts[row["text"] - 1].startswith((row["prompt"] + row["truth"])[:20])
        if row["exact"]:
            assert row["completion"] == row["truth"]


def test_counts_fall_with_the_threshold_and_recited_lists_as_many(scanned: Scan) -> None:
    counts = scanned.counts()
    assert tuple(counts) == THRESHOLDS
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    for threshold, n in counts.items():
        rows = scanned.recited(threshold)
        assert len(rows) == n
        assert [row["memorization_score"] for row in rows] == sorted(
            (row["memorization_score"] for row in rows), reverse=True
        )
    with pytest.raises(ValueError, match="measure 'logprob' is not known; accepted: memorization_score, bleu4"):
        scanned.counts("logprob")


def test_a_text_is_summed_up(scanned: Scan) -> None:
    rows = scanned.by_text()
    assert sum(row["windows"] for row in rows) == len(scanned)
    assert sum(row["exact"] for row in rows) == scanned.counts()[1.0]


def test_one_text_and_first_windows_alone(model: Model, texts: list[str]) -> None:
    one = memcirc.scan(model, texts[0], prompt_tokens=16, generation_tokens=12, every_window=False)
    assert (one.n_texts, len(one), one.table["offset"].to_pylist()) == (1, 1, [0])
    assert repr(one).startswith("Scan(1 windows of 1 texts, ")


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (["a", 3], {}, "text 1 is 3; a string is needed"),
        (["short"], {}, "none of 1 texts has 64 tokens"),
        ([], {}, "none of 0 texts has 64 tokens"),
        (["x"], {"prompt_tokens": 0}, "prompt_tokens is 0; at least 1 is needed"),
        (["word " * 500], {"prompt_tokens": 200}, "do not fit"),
    ],
)
def test_what_cannot_be_scanned_is_said(model: Model, given: Any, options: dict[str, int], message: str) -> None:
    """Of the function itself: the check of annotations looks at one item of a list, drawn at random, before it."""
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(scan)(model, given, **options)


def test_a_tokenizer_is_needed_and_for_bos_its_token(model: Model) -> None:
    with pytest.raises(ValueError, match="has no tokenizer, by which texts become ids"):
        scan(small_model("gpt2"), ["x"])
    if model.tokenizer.bos_token_id is None:
        with pytest.raises(ValueError, match="the tokenizer has no BOS token"):
            scan(model, ["x"], bos=True)


def test_a_scan_of_another_name_says_so(scanned: Scan) -> None:
    assert "recited word for word by me" in repr(replace(scanned, model="me"))
