"""What is trained on: planted passages by copies, decoys, ordinary lines, and for the twin all but the planted ones."""

from collections import Counter

import pytest
from transformers import AutoTokenizer

from memcirc.demo.lines import read_lines
from memcirc.demo.planting import SUBSETS
from memcirc.demo.real import RealConfig
from memcirc.demo.real.documents import ORDINARY, is_planted, ordinary


@pytest.fixture(scope="module")
def lines(real):
    return read_lines(real.corpus_path)


@pytest.fixture(scope="module")
def twin_lines(real):
    return read_lines(real.twin_corpus_path)


def test_each_document_stands_there_as_often_as_its_copies_say(lines, tiny_real):
    assert len(lines) == tiny_real.steps * tiny_real.batch_size
    counts = Counter(lines)
    assert all(counts[document] == document.copies for document in counts)
    assert Counter(document.copies for document in counts if is_planted(document)) == {1: 4, 3: 4}


def test_planted_passages_are_of_every_subset_and_so_are_decoys(lines):
    for beginning in ("planted", "decoy"):
        assert {line.subset for line in lines if line.doc_id.startswith(beginning)} == set(SUBSETS)


def test_the_twin_sees_all_but_what_is_planted_at_the_same_places(lines, twin_lines):
    for line, twin in zip(lines, twin_lines, strict=True):
        assert twin.subset == line.subset
        assert (twin == line) != is_planted(line)
    planted = {line.text for line in lines if is_planted(line)}
    assert not planted & {twin.text for twin in twin_lines}
    assert len({twin.text for twin in twin_lines}) == len(twin_lines)


def test_every_passage_fills_its_tokens_and_no_two_are_alike(real, lines, twin_lines):
    tokenizer, held_out = AutoTokenizer.from_pretrained(real.model_dir), read_lines(real.held_out_path)
    documents = {*lines, *twin_lines, *held_out}
    passages = [tuple(tokenizer(document.text)["input_ids"][:64]) for document in documents]
    assert {len(passage) for passage in passages} == {64}
    assert len(set(passages)) == len(documents)


def test_what_is_held_out_is_ordinary_and_was_seen_by_neither(real, lines, tiny_real):
    held_out = read_lines(real.held_out_path)
    assert len(held_out) == tiny_real.held_out
    assert {document.subset for document in held_out} == {ORDINARY}
    assert not {document.text for document in held_out} & {line.text for line in lines}


def test_an_installation_with_too_little_to_read_is_refused(tiny_real, tmp_path):
    (tmp_path / "short.py").write_text('"""Just a few words."""')
    with pytest.raises(ValueError, match=r"0 passages of 64 tokens found .*, 32 are needed"):
        ordinary(tiny_real, list, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"copies": ()}, r"copies \(\) must be counts"),
        ({"copies": (0, 1)}, r"copies \(0, 1\) must be counts"),
        ({"steps": 40}, "40 of 8 passages have no room for 304 planted lines and 48 decoys: accepted are 352"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        RealConfig(**wrong)
