"""Every faithfulness number of a run is known with its place, and comes out again as far as rounding lets it."""

from dataclasses import replace
from pathlib import Path

import pytest

from memcirc.run.reading import Run
from memcirc.run.remeasuring import cells_of, measured_again, numbers_of, pairs_of_cell, runs_of_verifications


def test_the_numbers_are_those_of_all_files(finished_run: Path) -> None:
    run = Run(finished_run)
    numbers = numbers_of(run)
    expected = sum(len(found.faithfulness) + sum(len(c.sizes) for c in found.curve)
                   for *_, found in runs_of_verifications(run))  # fmt: skip
    expected += len(list(cells_of(run)))
    for task in run.tasks:
        for mode in ("tree", "edge"):
            expected += 1 + len(run.circuit(task, mode).origin["evaluated"])
    assert len(numbers) == expected
    assert len({number.place for number in numbers}) == expected


def test_a_cells_pairs_are_those_that_were_measured(finished_run: Path) -> None:
    run = Run(finished_run)
    assert all(pairs_of_cell(run, cell).fingerprint == cell.data_fingerprint for _, cell in cells_of(run))


def test_a_number_holds_within_rounding_and_no_further(finished_run: Path) -> None:
    run = Run(finished_run)
    number = next(n for n in numbers_of(run) if n.place == "branch/verify: tree, resample, noising" and n.stated)
    assert number.stated is not None
    findings, used = measured_again(run, [number])
    assert not findings
    assert used <= 0.5
    far, none = replace(number, stated=number.stated + 1e-4), replace(number, stated=None)
    findings, _ = measured_again(run, [far, none, number])
    assert [line.split(", measured")[0] for line in findings] == [
        f"{number.place}: states {far.stated:.6g}", f"{number.place}: states none"
    ]  # fmt: skip
    assert measured_again(run, []) == ((), 0.0)


def test_pairs_of_another_model_are_not_measured(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(finished_run)
    pairs = run.pairs("branch")
    other = replace(pairs, header={**pairs.header, "tokenizer_fingerprint": "0" * 16})
    monkeypatch.setattr(Run, "pairs", lambda *_: other)
    with pytest.raises(ValueError, match="of tokenizer 0000000000000000"):
        measured_again(run, [numbers_of(run)[0]])
