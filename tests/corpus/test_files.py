"""Rows of local files: every format gives the same, every fault says where it is."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from memcirc.corpus.files import data_files, lines_of, rows_of_file


def json_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def write(path, rows):
    name = path.name
    if name.endswith(".jsonl"):
        path.write_text(json_lines(rows))
    elif name.endswith(".jsonl.zst"):
        half = len(rows) // 2
        frames = (json_lines(rows[:half]), json_lines(rows[half:]))
        path.write_bytes(b"".join(zstandard.compress(frame.encode()) for frame in frames))
    elif name == "array.json":
        path.write_text(json.dumps(rows, indent=2))
    elif name == "lines.json":
        path.write_text("\n" + json_lines(rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return path


NAMES = ("a.jsonl", "a.jsonl.zst", "array.json", "lines.json", "a.parquet")


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same_rows(tmp_path, rows, name):
    assert [row for _, row in rows_of_file(write(tmp_path / name, rows))] == rows


def test_a_text_file_is_one_document(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\ntwo\n")
    assert [row for _, row in rows_of_file(tmp_path / "a.txt")] == [{"text": "one\n\ntwo\n"}]


def test_a_folder_is_read_in_the_order_of_its_names_and_other_files_are_left_out(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("c.jsonl", "b/a.txt", "a.parquet", "notes.md"):
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in data_files(tmp_path)] == ["a.parquet", "b/a.txt", "c.jsonl"]


@given(lines=st.lists(st.text(alphabet="ab{}", min_size=1), max_size=8), size=st.integers(1, 7))
def test_lines_do_not_depend_on_where_the_chunks_are_cut(lines, size):
    stream = io.BytesIO("\n".join(lines).encode())
    assert list(lines_of(iter(lambda: stream.read(size), b""))) == [line.encode() for line in lines]


@pytest.mark.parametrize("name", ["bad.jsonl", "bad.jsonl.zst"])
def test_a_line_that_is_not_json_is_named_with_its_file(tmp_path, name):
    content = b'{"text": "fine"}\n\n{"text": "broken\n'
    (tmp_path / name).write_bytes(zstandard.compress(content) if name.endswith("zst") else content)
    with pytest.raises(ValueError, match=rf"{name}, line 3: not JSON"):
        list(rows_of_file(tmp_path / name))


def test_a_line_that_is_no_object_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n[1, 2]\n')
    with pytest.raises(ValueError, match="line 2: a JSON list, accepted is an object with a text or tokens field"):
        list(rows_of_file(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_zst_is_an_error_after_the_rows_it_holds(tmp_path, share):
    whole = zstandard.compress(json_lines([{"text": f"{number * 7919}"} for number in range(500)]).encode())
    (tmp_path / "cut.jsonl.zst").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"cut.jsonl.zst: the zstd stream breaks off"):
        list(rows_of_file(tmp_path / "cut.jsonl.zst"))


def test_what_is_no_zst_is_named(tmp_path):
    (tmp_path / "a.jsonl.zst").write_text('{"text": "not compressed"}\n')
    with pytest.raises(ValueError, match=r"a.jsonl.zst: not a zstd file"):
        list(rows_of_file(tmp_path / "a.jsonl.zst"))


def test_a_parquet_file_cut_short_is_named(tmp_path, rows):
    path = write(tmp_path / "a.parquet", rows)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a.parquet: not a whole parquet file"):
        list(rows_of_file(path))


def test_missing_paths_empty_folders_and_unknown_formats_say_what_is_accepted(tmp_path):
    (tmp_path / "a.csv").touch()
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*gone.*accepted are \.jsonl, \.jsonl\.zst"):
        data_files(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"format of .*a\.csv' is unknown: accepted are"):
        data_files(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="no data in folder"):
        data_files(tmp_path)
