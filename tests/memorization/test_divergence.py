"""The exact shortcut against the literal loop: one generation for every context length."""

import numpy as np
import pytest
import torch

from memcirc.memorization.bleu import bleu4
from memcirc.memorization.divergence import divergence_points
from memcirc.memorization.generation import greedy
from memcirc.models import Model
from tests.models import small_model

PROMPT, TOTAL = 8, 14


def literal(
    model: Model, passage: np.ndarray, metric: str, drop: float
) -> tuple[int, tuple[int, ...], float, float] | None:
    """The definition, word for word."""
    before = 1.0
    for length in range(PROMPT, 0, -1):
        said = greedy(model, torch.from_numpy(passage[None, :length]), TOTAL - length)[0].tolist()
        truth = passage[length:].tolist()
        after = bleu4(truth, said) if metric == "bleu" else float(np.mean(np.array(truth) == np.array(said)))
        if before > 0 and (before - after) / before > drop and said[0] != truth[0]:
            return length, tuple(said), before, after
        before = after
    return None


def passages(model: Model, n: int) -> np.ndarray:
    """Random openings of 1 to 8 tokens, continued by the model, with a random token exchanged in some."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        opening = rng.integers(0, model.d_vocab, (1, 1 + i % PROMPT))
        rest = greedy(model, torch.from_numpy(opening), TOTAL - opening.shape[1]).numpy()
        row = np.concatenate([opening, rest], axis=1)[0]
        if i % 3 == 0:
            row[rng.integers(0, TOTAL)] = rng.integers(0, model.d_vocab)
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("metric", ["bleu", "memorization"])
@pytest.mark.parametrize("drop", [0.05, 0.3])
def test_the_shortcut_finds_the_points_of_the_literal_loop(metric: str, drop: float) -> None:
    model = small_model("gpt_neo", dtype="float32")
    rows = passages(model, 24)
    found = divergence_points(model, rows, PROMPT, TOTAL - PROMPT, metric, drop, batch_size=7)  # type: ignore[arg-type]
    assert any(point is not None for point in found)
    for passage, point in zip(rows, found, strict=True):
        expected = literal(model, passage, metric, drop)
        if expected is None:
            assert point is None
            continue
        assert point is not None
        assert (point.length, point.model_continuation) == expected[:2]
        assert point.true_continuation == tuple(passage[point.length :])
        assert (point.score_before, point.score_after) == pytest.approx(expected[2:])


def test_no_passages_have_no_points() -> None:
    assert (
        divergence_points(small_model("gpt2", dtype="float32"), np.zeros((0, TOTAL), int), PROMPT, TOTAL - PROMPT) == []
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [({"metric": "rouge"}, "'rouge' is not known; accepted: bleu"), ({"drop": 1.5}, "drop is 1.5; accepted: 0 to 1")],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        divergence_points(small_model("gpt2", dtype="float32"), np.zeros((1, TOTAL), int), PROMPT, 6, **options)  # type: ignore[arg-type]
