from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from memcirc.memorization import scores as scoring
from memcirc.memorization.config import ScoreConfig
from memcirc.memorization.divergence import DivergencePoint
from memcirc.memorization.generation import greedy
from memcirc.memorization.scores import score
from memcirc.memorization.stage import (
    marked,
    points_of,
    points_table,
    prefix_matches,
    read_rows,
    score_windows,
    summary,
)
from memcirc.models import Model
from tests.models import small_hf_model

PROMPT, COMPLETION = 6, 5


@pytest.fixture(scope="module")
def model() -> Model:
    return small_hf_model("gpt2")


@pytest.fixture(scope="module")
def ids(model: Model) -> np.ndarray:
    """Ten passages; the first four recited, two of them behind their last three prompt tokens."""
    rows = np.random.default_rng(0).integers(0, model.d_vocab, (10, PROMPT + COMPLETION))
    rows[:4, PROMPT:] = greedy(model, torch.from_numpy(rows[:4, :PROMPT]), COMPLETION).numpy()
    rows[4:6, PROMPT:] = greedy(model, torch.from_numpy(rows[4:6, PROMPT - 3 : PROMPT]), COMPLETION).numpy()
    return rows


def windows(n: int) -> pa.Table:
    return pa.table({"doc_id": [str(i) for i in range(n)], "duplicates": [1 + 6 * (i == 1) for i in range(n)]})


def test_scores_behind_shorter_prompts(model: Model, ids: np.ndarray) -> None:
    found = prefix_matches(model, ids, PROMPT, (3, PROMPT), batch_size=4)
    whole = score(model, ids, PROMPT, COMPLETION)["prefix_match"].to_pylist()
    assert found[:, 1].tolist() == whole
    assert found[4:6, 0].tolist() == [COMPLETION, COMPLETION]
    with pytest.raises(ValueError, match="prefix length 7: the prompt has 6"):
        prefix_matches(model, ids, PROMPT, (7,), batch_size=4)


def test_bos_stays_in_front_of_shorter_prompts(model: Model, ids: np.ndarray, tmp_path: Path) -> None:
    first, length = 0, 4
    rows = ids.copy()
    rows[:, 0] = first
    behind = np.concatenate([rows[:, :1], rows[:, PROMPT - length + 1 : PROMPT]], axis=1)
    rows[:4, PROMPT:] = greedy(model, torch.from_numpy(behind[:4]), COMPLETION).numpy()
    found = prefix_matches(model, rows, PROMPT, (1, length, PROMPT), batch_size=4, bos=True)
    shortened = np.concatenate([behind, rows[:, PROMPT:]], axis=1)
    assert found[:4, 1].tolist() == [COMPLETION] * 4
    assert found[:, 1].tolist() == score(model, shortened, length, COMPLETION)["prefix_match"].to_pylist()
    assert found[:, 2].tolist() == score(model, rows, PROMPT, COMPLETION)["prefix_match"].to_pylist()
    alone = np.concatenate([rows[:, :1], rows[:, PROMPT:]], axis=1)
    assert found[:, 0].tolist() == score(model, alone, 1, COMPLETION)["prefix_match"].to_pylist()
    table = score_windows(model, windows(10), rows, PROMPT, ScoreConfig(prefix_lengths="4"), bos=True)
    assert table["prefix_matches"].to_pylist() == found[:, 1:2].tolist()
    pq.write_table(table, tmp_path / "scores.parquet")
    assert "behind BOS and the last tokens of the prompt alone: 4: " in summary(tmp_path / "scores.parquet")


def test_bos_is_no_part_of_the_text_whose_kind_is_told(model: Model) -> None:
    rows = np.tile([7, 8], (1, 5))
    with_bos = np.concatenate([[[0]], rows], axis=1)
    seen = [
        score_windows(model, windows(1), passages, PROMPT, ScoreConfig(), bos)["pattern"].to_pylist()
        for passages, bos in ((rows, False), (with_bos, True), (with_bos, False))
    ]
    assert seen == [["repeat"], ["repeat"], [None]]


def test_a_stages_table_says_what_kind_of_text_it_is(model: Model, ids: np.ndarray, tmp_path: Path) -> None:
    config = ScoreConfig(prefix_lengths="6,3", samples=10, probability=0.2)
    table = score_windows(model, windows(10), ids, PROMPT, config, bos=False)
    assert table["doc_id"].to_pylist() == [str(i) for i in range(10)]
    assert table["taxonomy"].to_pylist()[:2] == ["recollect", "recite"]
    p = np.exp(table["extraction_logprob"].to_numpy())
    assert table["extractable"].to_pylist() == (1 - (1 - p) ** 10 >= 0.2).tolist()
    assert table.schema.metadata[b"prefix_lengths"] == b"3,6"
    pq.write_table(table, tmp_path / "scores.parquet")
    exact = sum(table["exact"].to_pylist())
    behind = np.array(table["prefix_matches"].to_pylist())[:, 0] == COMPLETION
    assert summary(tmp_path / "scores.parquet") == (
        f"{exact} of 10 windows are recited exactly; behind the last tokens of the prompt alone: "
        f"3: {behind.mean():.1%}, 6: {exact / 10:.1%}"
    )


def test_near_ties_are_run_again_alone(model: Model, ids: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[int] = []
    plain = scoring._scored

    def counted(model: Model, passages: np.ndarray, *rest: object) -> object:
        alone.append(len(passages))
        return plain(model, passages, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(scoring, "_scored", counted)
    gaps = score(model, ids, PROMPT, COMPLETION)["min_gap"].to_numpy()
    monkeypatch.setitem(scoring.NEAR_TIE, torch.float32, float(np.median(gaps)))
    alone.clear()
    table = score(model, ids, PROMPT, COMPLETION, rerun_near_ties=True)
    assert alone == [10, *[1] * int((gaps < np.median(gaps)).sum())]
    assert table["near_tie"].to_pylist() == (gaps < np.median(gaps)).tolist()


def test_rows_of_a_file_are_read_by_mark(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": list(range(10))}), path, row_group_size=4)
    assert read_rows(path, marked(10, np.array([0, 5, 9])))["n"].to_pylist() == [0, 5, 9]
    assert read_rows(path, marked(10, np.array([], dtype=np.int64)))["n"].to_pylist() == []


def test_points_survive_their_table() -> None:
    points = [None, DivergencePoint(3, (1, 2), (4, 5), 1.0, 0.5)]
    table = points_table([2, 7], points, np.array([-1.5, np.nan]))
    assert points_of(table) == {2: points[0], 7: points[1]}
    assert table["prior_logprob"].to_pylist() == [-1.5, None]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"prefix_lengths": "8,x"}, "prefix_lengths '8,x'"),
        ({"prefix_lengths": "0"}, "prefix_lengths '0'"),
        ({"level": "some"}, "level 'some'"),
        ({"probability": 1.0}, "probability is 1"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"samples": 0}, "samples"),
        ({"unit_windows": 0}, "unit_windows"),
    ],
)
def test_a_configuration_out_of_range_is_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ScoreConfig(**wrong)  # type: ignore[arg-type]
