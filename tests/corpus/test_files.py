"""Rows of local files: every format gives the same, every fault says where it is."""

import gzip
import io
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from memcirc.checkpoints import LFS_POINTER
from memcirc.corpus.files import data_files, found_files, lines_of, rows_of_file


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


def pack(name, content):
    """Bytes as the name of a file says."""
    if name.endswith(".zst"):
        return zstandard.compress(content)
    return gzip.compress(content) if name.endswith(".gz") else content


PACKED_NAMES = tuple(kind + packed for kind in ("a.jsonl", "array.json", "lines.json") for packed in (".zst", ".gz"))


@pytest.mark.parametrize("name", [*NAMES[:1], *NAMES[2:4], *PACKED_NAMES])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_packed_or_not_with_a_byte_order_mark_or_without_the_rows_are_the_same(tmp_path, rows, name, mark):
    plain = write(tmp_path / name.removesuffix(".zst").removesuffix(".gz"), rows).read_bytes()
    (tmp_path / name).write_bytes(pack(name, mark + plain))
    assert [row for _, row in rows_of_file(tmp_path / name)] == rows


@pytest.mark.parametrize("name", ["a.txt", "a.txt.zst", "a.txt.gz"])
def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path, name):
    (tmp_path / name).write_bytes(pack(name, b"\xef\xbb\xbfone\r\ntwo \xc3\xa9"))
    assert [row for _, row in rows_of_file(tmp_path / name)] == [{"text": "one\ntwo é"}]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.txt", "a.jsonl.zst", "a.json.gz", "a.txt.gz"])
def test_what_is_not_utf_8_is_named_with_its_line(tmp_path, name):
    (tmp_path / name).write_bytes(pack(name, b'{"text": "fine"}\n{"text": "caf\xe9"}\n'))
    with pytest.raises(ValueError, match=rf"{name}, line 2: not UTF-8 \(byte 0xe9"):
        list(rows_of_file(tmp_path / name))


def test_an_array_that_is_not_utf_8_is_named_with_its_line(tmp_path):
    (tmp_path / "a.json").write_bytes(b'[{"text": "fine"},\n{"text": "caf\xe9"}]')
    with pytest.raises(ValueError, match=r"a\.json, line 2: not UTF-8"):
        list(rows_of_file(tmp_path / "a.json"))


def test_utf_16_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text", encoding="utf-16")
    with pytest.raises(ValueError, match="line 1: not UTF-8"):
        list(rows_of_file(tmp_path / "a.txt"))


def test_a_parquet_row_that_is_not_utf_8_is_named(tmp_path):
    text = pa.Array.from_buffers(pa.string(), 2, pa.array([b"fine", b"caf\xe9"], pa.binary()).buffers())
    pq.write_table(pa.table({"text": text}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet, row 2: not UTF-8"):
        list(rows_of_file(tmp_path / "a.parquet"))


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_gz_is_an_error(tmp_path, share):
    whole = gzip.compress(json_lines([{"text": f"{number * 7919}"} for number in range(500)]).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"cut.jsonl.gz: the gzip stream breaks off"):
        list(rows_of_file(tmp_path / "cut.jsonl.gz"))
    (tmp_path / "no.jsonl.gz").write_text("plain")
    with pytest.raises(ValueError, match=r"no.jsonl.gz: not a gzip file"):
        list(rows_of_file(tmp_path / "no.jsonl.gz"))


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_pointer_in_place_of_data_is_named_and_never_read_as_text(tmp_path, name):
    (tmp_path / name).write_bytes(LFS_POINTER + b"v1\noid sha256:0123\nsize 42\n")
    with pytest.raises(ValueError, match=rf"{name}: a Git LFS pointer, not the file itself"):
        list(rows_of_file(tmp_path / name))


def test_deep_nesting_is_named_with_its_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": ' + "[" * 100_000 + "\n")
    with pytest.raises(ValueError, match="line 1: not JSON"):
        list(rows_of_file(tmp_path / "a.jsonl"))


@pytest.fixture
def folder(tmp_path):
    """A folder of one shard."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.jsonl").write_text("{}\n")
    return tmp_path / "data"


def names_in(folder):
    return [str(path.relative_to(folder)) for path in found_files(folder).files]


def test_hidden_names_and_other_formats_are_passed_over_and_said(folder):
    (folder / ".ipynb_checkpoints").mkdir()
    for name in (".ipynb_checkpoints/a.jsonl", "._a.jsonl", "a.jsonl~", "b.csv", "c.jsonl.bak", "d.xml", "e.JSONL"):
        (folder / name).write_text("{}\n")
    assert names_in(folder) == ["a.jsonl"]
    assert found_files(folder).remarks == (
        "passed over, hidden: 2 (._a.jsonl, .ipynb_checkpoints)",
        "passed over, of another format: 5 (a.jsonl~, b.csv, c.jsonl.bak, ...)",
    )


def test_a_hidden_folder_that_was_asked_for_is_read(folder):
    hidden = folder.rename(folder.parent / ".data")
    assert names_in(hidden) == ["a.jsonl"]


def test_a_link_to_what_is_not_there_is_refused(folder):
    (folder / "b.jsonl").symlink_to("/moved/away.jsonl")
    for asked in (folder, folder / "b.jsonl"):
        with pytest.raises(FileNotFoundError, match=r"b\.jsonl is a link to /moved/away\.jsonl, which is not there"):
            data_files(asked)
    (folder / "b.jsonl").unlink()
    (folder / "more").symlink_to("more")
    with pytest.raises(FileNotFoundError, match="more is a link to more"):
        data_files(folder)


def test_linked_folders_are_read_and_nothing_is_read_twice(folder):
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.jsonl").write_text("{}\n")
    (elsewhere / "back").symlink_to(folder)
    (folder / "more").symlink_to(elsewhere)
    (folder / "z.jsonl").symlink_to(folder / "a.jsonl")
    assert names_in(folder) == ["a.jsonl", "more/b.jsonl"]
    assert found_files(folder).remarks == ("passed over, met before under another name: 2 (more/back, z.jsonl)",)


def test_an_empty_file_is_said(folder):
    (folder / "b.jsonl").touch()
    assert names_in(folder) == ["a.jsonl", "b.jsonl"]
    assert found_files(folder).remarks == ("passed over, empty: 1 (b.jsonl)",)


def test_what_is_no_file_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "b.jsonl")
    for asked in (folder, folder / "b.jsonl"):
        with pytest.raises(ValueError, match=r"b\.jsonl is neither a file nor a folder"):
            data_files(asked)


def test_a_folder_of_nothing_but_other_files_says_what_is_there(tmp_path):
    (tmp_path / "notes.md").touch()
    with pytest.raises(FileNotFoundError, match=r"no data in folder .*of another format: 1 \(notes\.md\)"):
        data_files(tmp_path)
