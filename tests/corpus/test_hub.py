"""Hub data sets, from small local copies of their schemas, read by the real `datasets` library."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from memcirc.corpus import documents
from memcirc.corpus.hub import rows_of_dataset

TOKENS = [[number + place for place in range(64)] for number in (0, 500, 1000)]
SIZES = ("70M", "160M", "410M", "1B", "1.4B", "2.8B", "6.9B", "12B")

MEMORIZED_CARD = """---
configs:
- config_name: default
  data_files:
  - split: duped.70m
    path: data/duped.70m-*
  - split: deduped.70m
    path: data/deduped.70m-*
---
"""


@pytest.fixture
def clone(tmp_path):
    """A function that lays out a clone of a hub repository from {path in it: rows or text}."""

    def lay_out(files, schema=None):
        for name, content in files.items():
            path = tmp_path / "clone" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith(".parquet"):
                pq.write_table(pa.Table.from_pylist(content, schema), path)
            elif name.endswith(".zst"):
                path.write_bytes(zstandard.compress("".join(json.dumps(row) + "\n" for row in content).encode()))
            else:
                path.write_text(content)
        return str(tmp_path / "clone")

    return lay_out


def test_pile_uncopyrighted_is_json_lines_under_zstd_with_the_subset_in_meta(clone, rows):
    name = clone({"README.md": "", "train/00.jsonl.zst": rows[:3], "train/01.jsonl.zst": rows[3:]})
    found = list(documents(name))
    assert [(document.text, document.subset) for document in found] == [
        (row["text"], row["meta"]["pile_set_name"]) for row in rows
    ]


def test_timaeus_pile_subsets_are_parquet_with_the_subset_in_meta(clone, rows):
    name = clone({".gitattributes": "", "data/train-00000-of-00001.parquet": rows})
    assert [document.text for document in documents(name)] == [row["text"] for row in rows]
    assert next(documents(name)).subset == "Github"


def test_pythia_memorized_evals_has_tokens_and_a_split_per_model(clone):
    splits = {
        f"data/{split}-00000-of-00001-abc.parquet": [
            {"index": index, "tokens": tokens} for index, tokens in enumerate(part)
        ]
        for split, part in (("duped.70m", TOKENS[:2]), ("deduped.70m", TOKENS[2:]))
    }
    name = clone({"README.md": MEMORIZED_CARD, **splits})
    found = list(documents(name, split="duped.70m"))
    assert [document.tokens for document in found] == [tuple(tokens) for tokens in TOKENS[:2]]
    assert [document.doc_id for document in found] == ["0", "1"]
    with pytest.raises(ValueError, match=r"has no split 'train': accepted are duped\.70m, deduped\.70m"):
        next(documents(name))


def test_the_random_sample_of_pythia_has_its_labels_in_meta(clone):
    sample = [{"Index": 7, **dict.fromkeys(SIZES, 0.25), "Tokens": TOKENS[0]}]
    schema = pa.schema(
        [("Index", pa.int64()), *((size, pa.float64()) for size in SIZES), ("Tokens", pa.list_(pa.uint16()))]
    )
    name = clone({"README.md": "", "data/train-00000-of-00001.parquet": sample}, schema)
    (document,) = documents(name)
    assert document.tokens == tuple(TOKENS[0])
    assert document.doc_id == "7"
    assert document.meta["12B"] == 0.25


def test_a_data_set_without_text_names_the_columns_it_has(clone):
    name = clone({"README.md": "", "data/train.parquet": [{"title": "a", "body": "b"}]})
    with pytest.raises(ValueError, match="row 1: no text in column 'text', columns found are title, body"):
        next(documents(name))
    assert next(documents(name, text_column="body")).text == "b"


@pytest.mark.parametrize(
    "spoil",
    [lambda _: b"not zstd at all", lambda whole: whole[:-30], lambda _: zstandard.compress(b"not JSON\n")],
    ids=["not zstd", "cut short", "not JSON"],
)
def test_a_data_set_with_a_broken_file_is_named(clone, spoil):
    rows = [{"text": f"{number * 7919}"} for number in range(500)]
    name = clone({"README.md": "", "data/train.jsonl.zst": rows})
    path = Path(name) / "data/train.jsonl.zst"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r"data set '.*clone' cannot be read"):
        list(documents(name))


def test_a_parquet_file_cut_short_later_in_a_data_set_is_named_with_the_row(clone, rows):
    name = clone({"README.md": "", "data/train-0.parquet": rows, "data/train-1.parquet": rows})
    second = Path(name) / "data/train-1.parquet"
    second.write_bytes(second.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"data set '.*clone' cannot be read after row 5"):
        list(documents(name))


@pytest.mark.parametrize("name", ["EleutherAI/pile", "the_pile"])
def test_dead_data_sets_are_refused_with_a_living_one(name):
    with pytest.raises(ValueError, match=rf"'{name}' needs a loading script.*use 'monology/pile-uncopyrighted'"):
        next(documents(name))


def test_the_deduplicated_pile_cannot_be_asked_for_a_subset():
    with pytest.raises(ValueError, match="does not say which subset"):
        next(documents("EleutherAI/the_pile_deduplicated", subset="Github"))


@pytest.mark.parametrize("name", ["nobody/nothing-here", "not a name"])
def test_an_unknown_data_set_is_refused_in_one_line_with_what_is_accepted(monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=rf"data set '{name}' not found .*accepted are a local file") as error:
        next(rows_of_dataset(name))
    assert "\n" not in str(error.value)


def test_a_cache_that_cannot_be_written_is_not_a_data_set_that_is_not_there(clone, rows, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "file" / "datasets"))
    with pytest.raises(ValueError, match=r"the cache cannot be written .*file.*set HF_HOME"):
        next(documents(clone({"README.md": "", "data/train.parquet": rows})))
