import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memcirc.work.config import Execution
from memcirc.work.executors import Unfinished, run_units
from memcirc.work.parts import Parts


def table(unit: int) -> pa.Table:
    return pa.table({"unit": [unit] * 3, "text": [f"{unit}"] * 3})


def parts_of(folder: Path, units: int = 5, **plan: object) -> Parts:
    parts = Parts(folder, {"units": units, **plan})
    parts.open()
    return parts


def test_units_are_listed_done_and_merged_in_order(tmp_path: Path) -> None:
    parts = parts_of(tmp_path / "parts")
    for unit in (3, 0, 4):
        parts.write(unit, table(unit))
    assert parts.missing() == [1, 2]
    for unit in (2, 1):
        parts.write(unit, table(unit))
    parts.merge(tmp_path / "merged.parquet")
    merged = pq.read_table(tmp_path / "merged.parquet")
    assert merged["unit"].to_pylist() == [unit for unit in range(5) for _ in range(3)]
    assert pq.read_metadata(tmp_path / "merged.parquet").num_row_groups == 5
    parts.clear()
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("kept", [0, 4, 100, -1])
def test_a_part_cut_short_is_not_taken_for_finished(tmp_path: Path, kept: int) -> None:
    parts = parts_of(tmp_path)
    for unit in range(5):
        parts.write(unit, table(unit))
    path = parts.path(2)
    path.write_bytes(path.read_bytes()[:kept])
    assert parts.missing() == [2]
    parts.write(2, table(2))
    assert parts.missing() == []


def test_a_bit_that_flipped_in_a_part_is_noticed_said_and_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts, made = parts_of(tmp_path), []

    def make(unit: int) -> pa.Table:
        made.append(unit)
        return table(unit)

    run_units(parts, make, lambda: make, Execution(), "score")
    parts.merge(tmp_path / "before" / "merged.parquet")
    path, whole = parts.path(2), parts.path(2).read_bytes()
    for bit in random.Random(0).sample(range(8 * len(whole)), 200):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        assert parts.missing() == [2]
    with pytest.raises(ValueError, match="is damaged or gone; the same command makes it anew"):
        list(parts.tables())
    made.clear()
    capsys.readouterr()
    run_units(parts, make, lambda: make, Execution(), "score")
    assert capsys.readouterr().err == "score: 1 finished units are damaged on disk and made anew\n"
    assert made == [2]
    parts.merge(tmp_path / "after" / "merged.parquet")
    before, after = ((tmp_path / name / "merged.parquet").read_bytes() for name in ("before", "after"))
    assert before == after


def test_a_part_without_a_seal_is_not_finished(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    for unit in range(5):
        parts.write(unit, table(unit))
    pq.write_table(table(1), parts.path(1))
    assert parts.missing() == [1]


def test_a_sealed_part_is_parquet_and_comes_back_as_it_was(tmp_path: Path) -> None:
    parts = parts_of(tmp_path, units=2)
    plain, told = table(0), table(1).replace_schema_metadata({"bos": "true"})
    for unit, own in enumerate((plain, told)):
        parts.write(unit, own)
        assert pq.read_table(parts.path(unit)).equals(own)
    assert [own.schema.metadata for own in parts.tables()] == [None, {b"bos": b"true"}]


def test_a_plan_that_changed_under_finished_parts_is_refused(tmp_path: Path) -> None:
    parts_of(tmp_path, batch_size=16).write(0, table(0))
    parts_of(tmp_path / "none", batch_size=16)
    assert parts_of(tmp_path / "none", batch_size=32).missing() == [0, 1, 2, 3, 4]  # nothing was finished
    with pytest.raises(ValueError, match=r"another plan: batch_size was 16, now 32; .*--force"):
        parts_of(tmp_path, batch_size=32)
    assert parts_of(tmp_path, batch_size=16).missing() == [1, 2, 3, 4]


def test_a_shard_does_its_units_and_says_what_is_left(tmp_path: Path) -> None:
    parts, done = parts_of(tmp_path), []

    def make(unit: int) -> pa.Table:
        done.append(unit)
        return table(unit)

    with pytest.raises(Unfinished, match="3 units done as shard 0/2; 2 of 5 are left"):
        run_units(parts, make, lambda: make, Execution(shard="0/2"), "score")
    assert done == [0, 2, 4]
    run_units(parts, make, lambda: make, Execution(), "score")
    assert done == [0, 2, 4, 1, 3]


def test_a_shard_that_finds_the_work_merged_by_another_is_done(tmp_path: Path) -> None:
    parts, made = parts_of(tmp_path), []

    def make(unit: int) -> pa.Table:
        made.append(unit)
        for other in range(5):  # meanwhile others do the rest, merge it, and clear up
            parts.write(other, table(other))
        parts.merge(tmp_path / "merged" / "all.parquet")
        parts.clear()
        return table(unit)

    done = (tmp_path / "merged" / "all.parquet").is_file
    run_units(parts, make, lambda: make, Execution(shard="0/2"), "score", done)
    assert made == [0]


def test_an_error_in_a_unit_keeps_the_finished_ones(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)

    def make(unit: int) -> pa.Table:
        if unit == 3:
            raise KeyboardInterrupt
        return table(unit)

    with pytest.raises(KeyboardInterrupt):
        run_units(parts, make, lambda: make, Execution(), "score")
    assert parts.missing() == [3, 4]
    assert not list(tmp_path.glob(".*"))
