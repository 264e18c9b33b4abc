"""Which corpus a name stands for, and how a row becomes a document."""

import json

import pytest

from memcirc.corpus import sources
from memcirc.corpus.sources import document, documents, local_files
from tests.corpus.test_files import pack


@pytest.fixture
def asked(monkeypatch):
    """The data sets that would be asked for, instead of asking the hub."""
    names = []
    monkeypatch.setattr(sources, "rows_of_dataset", lambda *arguments: names.append(arguments) or iter(()))
    return names


def test_a_subset_stands_for_the_data_set_that_serves_it(asked):
    assert not list(documents("wikipedia"))
    assert not list(documents("Ubuntu IRC"))
    assert [name for name, *_ in asked] == ["timaeus/pile-wikipedia_en", "monology/pile-uncopyrighted"]


def test_any_other_name_is_a_data_set_on_the_hub(asked):
    assert not list(documents("NeelNanda/pile-10k", subset="github", split="train"))
    assert asked == [("NeelNanda/pile-10k", "train", "github")]


@pytest.mark.parametrize(
    "name",
    ["./gone", "/gone/away.jsonl", "data/of/mine", "gone.jsonl", "gone.jsonl.zst", "gone.txt.gz", "gone.parquet"],
)
def test_what_can_only_be_a_path_is_not_looked_for_on_the_hub(asked, name):
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        next(documents(name))
    assert not asked


def test_a_split_of_local_files_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ValueError, match="split 'train' of local files"):
        next(documents(str(tmp_path), split="train"))


def test_a_row_without_text_names_its_place_and_the_columns_found(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{"title": "t", "body": "b"}\n')
    with pytest.raises(ValueError, match=r"a\.jsonl, line 2: no text in column 'text', columns found are title, body"):
        list(documents(str(tmp_path)))


def test_meta_may_be_an_object_or_json_text_and_other_columns_join_it():
    meta = {"pile_set_name": "Github", "copies": 3, "doc_id": "x"}
    for form in (meta, json.dumps(meta)):
        found = document("here", {"text": "a", "meta": form, "stars": 5}, 0, "text")
        assert (found.doc_id, found.subset) == ("x", "Github")
        assert found.meta == {**meta, "stars": 5}


def test_a_document_without_a_name_is_called_by_its_number():
    assert document("here", {"text": "a"}, 12, "text").doc_id == "12"
    assert document("here", {"tokens": [1, 2], "index": 0}, 12, "text").doc_id == "0"


def test_a_column_of_token_ids_of_any_name_can_be_chosen(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"input_ids": [1, 2], "text": "a"}\n')
    assert next(documents(str(tmp_path), tokens_column="input_ids")).tokens == (1, 2)
    assert next(documents(str(tmp_path), text_column="input_ids")).tokens == (1, 2)
    assert next(documents(str(tmp_path))).text == "a"
    with pytest.raises(ValueError, match=r"line 1: no token ids in column 'ids', columns found are input_ids, text"):
        next(documents(str(tmp_path), tokens_column="ids"))
    with pytest.raises(ValueError, match=r"line 1: no token ids in column 'text' \(it holds a value of type str\)"):
        next(documents(str(tmp_path), tokens_column="text"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": None}, r"no text in column 'text' \(it holds null\)"),
        ({"text": 5}, r"no text in column 'text' \(it holds a value of type int\)"),
        ({"text": {"a": 1}}, "no text in column 'text'"),
        ({"text": "cut \ud83d"}, "column 'text' has half a character at position 4"),
        ({"text": "a", "doc_id": "\udc00"}, "the document's name has half a character"),
        ({"text": "a", "meta": {"family": "\udc00"}}, "family has half a character"),
        ({"text": "a", "meta": {"pile_set_name": ["x"]}}, r"subset \['x'\] is no text"),
        ({"text": "a", "copies": "many"}, "copies 'many' is no whole number"),
        ({"text": "a", "copies": True}, "copies True is no whole number"),
        ({"text": "a", "copies": 2.5}, "copies 2.5"),
        ({"text": "a", "copies": 10**30}, "copies 10+ is no whole number"),
        ({"tokens": [1, "a"]}, "column 'tokens' holds 'a', which is no token id"),
        ({"tokens": [1, 2.5]}, "column 'tokens' holds 2.5"),
        ({"tokens": [1, None]}, "column 'tokens' holds None"),
        ({"tokens": [-1]}, "column 'tokens' holds -1"),
        ({"tokens": [2**31]}, "column 'tokens' holds 2147483648"),
        ({"tokens": "12"}, "column 'tokens' holds a value of type str"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.zst", "a.jsonl.gz"])
def test_a_value_of_the_wrong_kind_is_named_with_its_line(tmp_path, row, message, name):
    lines = "".join(json.dumps(one) + "\n" for one in ({"text": "fine"}, row)).encode()
    (tmp_path / name).write_bytes(pack(name, lines))
    with pytest.raises(ValueError, match=rf"{name}, line 2: {message}"):
        list(documents(str(tmp_path / name)))


@pytest.mark.parametrize("meta", [None, 5, "words", "[1]", [], [{"copies": 2}], {}])
def test_meta_that_is_no_object_says_nothing(meta):
    found = document("here", {"text": "a", "meta": meta}, 0, "text")
    assert (found.copies, found.family, found.subset) == (None, None, None)


def test_numbers_that_pandas_made_floats_are_still_counts():
    assert document("here", {"text": "a", "copies": 2.0, "family": float("nan")}, 0, "text").copies == 2
    found = document("here", {"text": "a", "copies": float("nan"), "family": float("nan")}, 0, "text")
    assert (found.copies, found.family) == (None, None)


def test_local_files_are_those_that_are_read_and_a_clone_is_all_of_its_files(tmp_path):
    for name in ("a.jsonl", "notes.csv", ".hidden.jsonl"):
        (tmp_path / name).write_text('{"text": "a"}\n')
    assert [path.name for path in local_files(str(tmp_path)).files] == ["a.jsonl"]
    (tmp_path / "README.md").touch()
    assert [path.name for path in local_files(str(tmp_path)).files] == ["README.md", "a.jsonl", "notes.csv"]
    assert local_files("wikipedia") is None
    assert local_files("NeelNanda/pile-10k") is None


def test_a_readme_of_ones_own_makes_no_clone_and_a_text_stays_one_document(tmp_path):
    (tmp_path / "a.txt").write_text("one line\nand another\n")
    (tmp_path / "README.md").write_text("# My texts\n")
    assert [found.text for found in documents(str(tmp_path))] == ["one line\nand another\n"]
    assert local_files(str(tmp_path)).remarks == ("passed over, of another format: 1 (README.md)",)
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    assert [path.name for path in local_files(str(tmp_path)).files] == ["README.md", "a.txt"]
