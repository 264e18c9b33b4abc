"""Generation: what is said under a circuit, token by token."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from memcirc.engine.decoding import decode
from memcirc.memorization.generation import greedy
from memcirc.verification.generation import RUNS, WORK, _row, generation, recitation
from memcirc.verification.passages import Passages
from tests.verification.subjects import records, subject


def test_generation_under_all_edges_is_the_models_own_and_under_none_the_others() -> None:
    made = subject(n_edges=30)
    rows = records(WORK, made)
    text = made.passages
    assert text is not None
    prompts, truth = torch.from_numpy(text.memorized[:, :4]), torch.from_numpy(text.memorized[:, 4:])
    said = greedy(made.model, prompts, 5)
    assert recitation(rows, "model").score == pytest.approx(float((said == truth).double().mean()))
    other = greedy(made.model, torch.from_numpy(text.others[:, :4]), 5)
    assert recitation(rows, "nothing").score == pytest.approx(float((other == truth).double().mean()))
    kept = decode(made.model, prompts, torch.from_numpy(text.others[:, :4]), made.mask, 5)
    assert recitation(rows, "only the circuit").score == pytest.approx(float((kept == truth).double().mean()))
    assert {row.copies for row in rows} == {None, 1, 2}


def test_a_row_counts_exact_completions_right_tokens_and_the_tokens_before_the_first_wrong_one() -> None:
    """Two circuits on two passages of three tokens: one is exact; the others break off after 2, 0 and 1 tokens."""
    equal = np.array([[[1, 1, 1], [1, 1, 0]], [[0, 1, 1], [1, 0, 1]]], dtype=bool)
    row = _row(subject(), "only random", equal, 2, 7)
    assert (row.extracted, row.score, row.prefix_match) == pytest.approx((1 / 4, 9 / 12, (3 + 2 + 0 + 1) / 4))
    assert (row.run, row.n_edges, row.n_circuits, row.copies, row.n_passages) == ("only random", 7, 2, 2, 2)


def test_every_run_is_told_over_all_passages_and_by_known_copies() -> None:
    made = subject()
    assert isinstance(made.passages, Passages)
    text = replace(made.passages, copies=np.array([2, -1, 0, 2, 2]))
    rows = records(WORK, replace(made, passages=text))
    assert [(row.run, row.copies, row.n_passages) for row in rows] == [
        (run, copies, n) for run in RUNS for copies, n in ((None, 5), (0, 1), (2, 3))
    ]
    sizes = {row.run: (row.n_edges, row.n_circuits) for row in rows}
    whole = made.graph.n_edges
    assert sizes == {"model": (whole, 1), "only the circuit": (30, 1), "without the circuit": (whole - 30, 1),
                     "only random": (30, 5), "without random": (whole - 30, 5), "nothing": (0, 1)}  # fmt: skip


def test_the_line_of_a_run_is_that_over_all_passages() -> None:
    rows = records(WORK, subject())
    found = recitation(rows, "without the circuit")
    assert (found.run, found.copies) == ("without the circuit", None)


def test_ablation_values_come_from_other_passages_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spied(
        model: object, prompts: torch.Tensor, corrupt: torch.Tensor, kept: object, n: int, ablation: str
    ) -> torch.Tensor:
        assert ablation == "resample"
        asked.append((prompts.tolist(), corrupt.tolist(), n))
        return torch.zeros(len(prompts), n, dtype=torch.int64)

    monkeypatch.setattr("memcirc.verification.generation.decode", spied)
    made = subject()
    assert isinstance(made.passages, Passages)
    text = replace(made.passages, others=made.passages.others[:2])
    generation(replace(made, passages=text), "model")
    prompts, corrupt, n = asked[0]
    assert prompts == text.memorized[:, :4].tolist()
    assert corrupt == [text.others[i % 2, :4].tolist() for i in range(5)]
    assert n == text.memorized.shape[1] - 4
