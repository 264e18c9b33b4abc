"""From documents to distinct windows: the same from every format, counted, atomic."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from memcirc.corpus import PrepareConfig, prepare, preparing, read_windows
from tests.corpus.test_files import NAMES, write


@pytest.fixture
def corpus(tmp_path, rows):
    return str(write(tmp_path / "corpus.jsonl", rows))


@pytest.fixture
def config(corpus):
    return PrepareConfig(dataset=corpus, prompt_tokens=5, generation_tokens=5)


def words(*numbers):
    """Ids of the words with these numbers: BOS and the unknown word come first."""
    return [number + 2 for number in numbers]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "windows.parquet"


def test_distinct_windows_are_written_once_and_everything_is_counted(config, tokenizer, out):
    stats = prepare(config, tokenizer, out)
    assert (stats.documents, stats.windows, stats.distinct, stats.too_short, stats.other_subset) == (5, 4, 2, 1, 0)
    windows = read_windows(out)
    assert windows.ids.tolist() == [words(*range(10)), words(*range(20, 30))]
    assert windows.ids.dtype == np.int64
    table = windows.table.to_pydict()
    assert table["duplicates"] == [3, 1]
    assert table["doc_id"] == ["0", "1"]
    assert table["subset"] == ["Github", "FreeLaw"]
    assert table["copies"] == table["family"] == [None, None]
    assert windows.origin["stats"]["fingerprint"] == stats.fingerprint
    assert windows.origin["config"]["dataset"] == config.dataset


def test_all_windows_of_a_document_lie_end_to_end(config, tokenizer, out):
    prepare(dataclasses.replace(config, windows="all"), tokenizer, out)
    windows = read_windows(out)
    assert windows.ids.tolist() == [words(*range(10)), words(*range(20, 30)), words(*range(50, 60))]
    assert windows.table["offset"].to_pylist() == [0, 0, 10]
    assert windows.table["duplicates"].to_pylist() == [3, 1, 1]


def test_bos_takes_the_place_of_a_prompt_token(config, tokenizer, out):
    prepare(dataclasses.replace(config, bos=True), tokenizer, out)
    assert read_windows(out).ids.tolist() == [[0, *words(*range(9))], [0, *words(*range(20, 29))]]


def test_bos_that_a_document_has_itself_is_not_doubled(config, tokenizer, tmp_path, out):
    ids = [0, *range(2, 30)]
    path = write(tmp_path / "tokens.jsonl", [{"tokens": ids}])
    config = dataclasses.replace(config, dataset=str(path), windows="all")
    prepare(dataclasses.replace(config, bos=True), tokenizer, out)
    assert read_windows(out).ids.tolist() == [[0, *ids[1:10]], [0, *ids[10:19]], [0, *ids[19:28]]]
    assert read_windows(out).table["offset"].to_pylist() == [1, 10, 19]
    prepare(config, tokenizer, out)
    assert read_windows(out).ids.tolist() == [ids[:10], ids[10:20]]


def test_bos_of_a_tokenizer_without_one_is_refused(config, tokenizer, out, monkeypatch):
    monkeypatch.setattr(type(tokenizer), "bos_token_id", None, raising=False)
    with pytest.raises(ValueError, match="the tokenizer has no BOS token"):
        prepare(dataclasses.replace(config, bos=True), tokenizer, out)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same_windows(config, tokenizer, tmp_path, rows, out, name):
    prepare(config, tokenizer, out)
    other = tmp_path / "other.parquet"
    prepare(dataclasses.replace(config, dataset=str(write(tmp_path / name, rows))), tokenizer, other)
    assert read_windows(out).table.equals(read_windows(other).table)


def test_a_folder_of_text_files_gives_the_same_tokens(config, tokenizer, tmp_path, rows, out):
    (tmp_path / "texts").mkdir()
    for number, row in enumerate(rows):
        (tmp_path / "texts" / f"{number}.txt").write_text(row["text"])
    prepare(dataclasses.replace(config, dataset=str(tmp_path / "texts")), tokenizer, out)
    assert read_windows(out).ids.tolist() == [words(*range(10)), words(*range(20, 30))]


def test_token_columns_are_taken_as_they_are(config, tokenizer, tmp_path, out):
    ids = [[7, *range(40, 55)], [3] * 9]
    path = write(tmp_path / "tokens.jsonl", [{"index": 10 + n, "tokens": own} for n, own in enumerate(ids)])
    stats = prepare(dataclasses.replace(config, dataset=str(path)), tokenizer, out)
    assert read_windows(out).ids.tolist() == [ids[0][:10]]
    assert read_windows(out).table["doc_id"].to_pylist() == ["10"]
    assert stats.too_short == 1


def test_only_the_subset_asked_for_is_kept_and_the_others_are_counted(config, tokenizer, out):
    stats = prepare(dataclasses.replace(config, subset="freelaw"), tokenizer, out)
    assert (stats.documents, stats.other_subset, stats.distinct) == (2, 3, 2)
    assert set(read_windows(out).table["subset"].to_pylist()) == {"FreeLaw"}


def test_copyrighted_subsets_come_with_a_licence_note(config, tokenizer, tmp_path, out):
    rows = [{"text": "w1 " * 10, "meta": {"pile_set_name": "Books3"}}]
    path = write(tmp_path / "books.jsonl", rows)
    stats = prepare(dataclasses.replace(config, dataset=str(path), subset="books3"), tokenizer, out)
    assert stats.licence_note is not None
    assert "copyright" in stats.licence_note


def test_ground_truth_in_meta_becomes_columns(config, tokenizer, tmp_path, out):
    meta = {"pile_set_name": "Github", "copies": 2, "family": "f1", "doc_id": "planted"}
    path = write(tmp_path / "planted.jsonl", [{"text": "w1 " * 10, "meta": meta}] * 2)
    prepare(dataclasses.replace(config, dataset=str(path)), tokenizer, out)
    (row,) = read_windows(out).table.to_pylist()
    assert (row["doc_id"], row["copies"], row["family"], row["duplicates"]) == ("planted", 2, "f1", 2)


def test_row_groups_have_a_fixed_size_and_the_order_of_the_corpus(config, tokenizer, tmp_path, out, monkeypatch):
    monkeypatch.setattr(preparing, "ROW_GROUP", 4)
    ids = [[number] * 10 for number in (*range(11), *range(5))]
    path = write(tmp_path / "many.jsonl", [{"tokens": own} for own in ids])
    prepare(dataclasses.replace(config, dataset=str(path)), tokenizer, out)
    with pq.ParquetFile(out) as file:
        assert [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)] == [4, 4, 3]
    windows = read_windows(out)
    assert windows.ids[:, 0].tolist() == list(range(11))
    assert windows.table["window_id"].to_pylist() == list(range(11))
    assert windows.table["duplicates"].to_pylist() == [2] * 5 + [1] * 6


def test_reading_stops_after_the_documents_or_windows_asked_for(config, tokenizer, out):
    assert prepare(dataclasses.replace(config, max_documents=1), tokenizer, out).documents == 1
    stats = prepare(dataclasses.replace(config, max_windows=1), tokenizer, out)
    assert (stats.distinct, read_windows(out).ids.shape) == (1, (1, 10))


def test_a_sample_is_decided_by_its_seed(config, tokenizer, tmp_path, out):
    path = write(tmp_path / "many.jsonl", [{"tokens": [number] * 10} for number in range(200)])
    half = dataclasses.replace(config, dataset=str(path), sample=0.5)

    def sampled(seed):
        prepare(dataclasses.replace(half, seed=seed), tokenizer, out)
        return read_windows(out).ids[:, 0].tolist()

    first = sampled(0)
    assert 70 < len(first) < 130
    assert sampled(0) == first != sampled(1)


def test_the_same_call_writes_the_same_bytes_and_the_fingerprint_follows_the_content(config, tokenizer, tmp_path, rows):
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    first = prepare(config, tokenizer, one)
    assert prepare(config, tokenizer, two) == first
    assert one.read_bytes() == two.read_bytes()
    write(tmp_path / "corpus.jsonl", rows[1:])
    assert prepare(config, tokenizer, two).fingerprint != first.fingerprint


def test_documents_that_are_all_too_short_are_an_error_with_counts(config, tokenizer, out):
    with pytest.raises(ValueError, match=r"gives no window of 110 tokens: 5 documents read, 5 of them too short"):
        prepare(dataclasses.replace(config, generation_tokens=105), tokenizer, out)
    with pytest.raises(ValueError, match="0 documents read, 0 of them too short, 5 of other subsets than 'ArXiv'"):
        prepare(dataclasses.replace(config, subset="arxiv"), tokenizer, out)
    assert not list(out.parent.iterdir())


def test_an_interruption_leaves_nothing_and_an_earlier_file_as_it_was(config, tokenizer, out, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(preparing, "write_counted", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(config, tokenizer, out)
        assert not list(out.parent.iterdir())
    prepare(config, tokenizer, out)
    before = out.read_bytes()
    with Path(config.dataset).open("a") as file:
        file.write("no json")
    with pytest.raises(ValueError, match="line 6: not JSON"):
        prepare(config, tokenizer, out)
    assert [path.name for path in out.parent.iterdir()] == ["windows.parquet"]
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"subset": "wikipedai"}, "unknown Pile subset 'wikipedai': accepted are Pile-CC"),
        ({"windows": "some"}, "windows 'some': accepted are first and all"),
        ({"prompt_tokens": 0}, "prompt_tokens 0: accepted is 1 or more"),
        ({"generation_tokens": -1}, "generation_tokens -1"),
        ({"max_windows": 0}, "max_windows 0"),
        ({"sample": 0.0}, "sample 0.0: accepted is more than 0 and at most 1"),
        ({"sample": 1.5}, "sample 1.5"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PrepareConfig(**wrong)


def test_every_option_has_a_help_text():
    assert all(field.metadata["help"] for field in dataclasses.fields(PrepareConfig))


def test_the_configuration_is_imported_without_heavy_libraries():
    code = (
        "from memcirc.corpus import PrepareConfig; import sys; "
        "sys.exit(bool({'torch', 'pyarrow', 'datasets'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_embedded_corpus_comes_back_with_its_ground_truth(tokenizer, tmp_path, out):
    from memcirc.demo.lines import shuffled_copies, write_lines
    from memcirc.demo.planting import Planted

    documents = [Planted(f"d{copies}", "Github", f"w{copies} " * 10, copies, "f", 6) for copies in (1, 2, 5)]
    write_lines(tmp_path / "planted.jsonl", shuffled_copies(documents, seed=0))
    prepare(PrepareConfig(str(tmp_path / "planted.jsonl"), prompt_tokens=5, generation_tokens=5), tokenizer, out)
    table = read_windows(out).table.to_pylist()
    assert {row["doc_id"]: row["copies"] for row in table} == {"d1": 1, "d2": 2, "d5": 5}
    assert all(row["duplicates"] == row["copies"] for row in table)
