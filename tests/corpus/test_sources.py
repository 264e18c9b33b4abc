"""Which corpus a name stands for, and how a row becomes a document."""

import json

import pytest

from memcirc.corpus import sources
from memcirc.corpus.sources import document, documents


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


@pytest.mark.parametrize("name", ["./gone", "/gone/away.jsonl", "data/of/mine", "gone.jsonl", "gone.jsonl.zst"])
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
