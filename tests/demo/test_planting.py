"""Families in tokens, copies in the file, and the ground truth that comes back from it."""

import dataclasses
import json
from collections import Counter, defaultdict
from itertools import combinations, pairwise

import pytest
from transformers import AutoTokenizer

from memcirc.demo import DemoConfig, ensure, read_planted
from memcirc.demo.planting import SUBSETS, Measure, shared_tokens


@pytest.fixture(scope="module")
def ids(demo):
    tokenizer = AutoTokenizer.from_pretrained(demo.model_dir)
    return {
        doc_id: tokenizer(document.text)["input_ids"] for doc_id, document in read_planted(demo.corpus_path).items()
    }


@pytest.fixture(scope="module")
def families(demo):
    members = defaultdict(list)
    for document in read_planted(demo.corpus_path).values():
        if document.family:
            members[document.family].append(document)
    return members


def test_members_share_exactly_their_opening_and_differ_at_the_next_token(demo, ids, families):
    assert len(families) == demo.config.families
    for members in families.values():
        (opening,) = {member.opening_tokens for member in members}
        assert demo.config.shortest_opening <= opening <= demo.config.longest_opening
        for one, other in combinations(members, 2):
            assert shared_tokens(ids[one.doc_id], ids[other.doc_id]) == opening


def test_a_member_fills_a_passage_and_goes_on_with_a_token_that_background_has_at_the_same_place():
    config = DemoConfig(branch_support=2)
    measure = Measure(config, encode=list, support={(6, 1): 2, (6, 2): 1, (7, 3): 9})
    passage = [0] * config.passage_tokens
    members = {token: measure.is_member([*passage[:6], token, *passage[7:]], opening=6) for token in (1, 2, 3)}
    assert members == {1: True, 2: False, 3: False}
    assert not measure.is_member([*passage[:6], 1], opening=6)


def test_every_document_fills_a_passage(demo, ids):
    assert min(map(len, ids.values())) >= demo.config.passage_tokens


def test_a_document_stands_in_the_file_as_often_as_its_copies_say(demo):
    lines = [json.loads(line) for line in demo.corpus_path.read_text().splitlines()]
    counts = Counter(line["text"] for line in lines)
    assert all(counts[line["text"]] == line["meta"]["copies"] for line in lines)
    assert sorted(set(counts.values())) == [1, 2, 3, 4]


def test_copies_of_a_document_do_not_stand_together(demo):
    names = [json.loads(line)["meta"]["doc_id"] for line in demo.corpus_path.read_text().splitlines()]
    neighbours = sum(one == other for one, other in pairwise(names))
    assert neighbours < len(names) / 10


def test_ground_truth_comes_back_from_the_file(demo, families):
    planted = read_planted(demo.corpus_path)
    assert len(planted) == demo.config.background + 3 * demo.config.families
    assert {document.subset for document in planted.values()} == set(SUBSETS)
    patterns = {tuple(member.copies for member in sorted(m, key=lambda d: d.doc_id)) for m in families.values()}
    assert patterns == set(demo.config.copy_patterns)


def test_a_family_that_cannot_be_is_refused_with_the_sizes_to_change(tmp_path, monkeypatch, tiny):
    monkeypatch.setattr("memcirc.demo.planting.FAMILY_TRIES", 3)
    with pytest.raises(ValueError, match="branch_support below 999 or a background above 80"):
        ensure(tmp_path, progress=False, config=dataclasses.replace(tiny, branch_support=999))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shortest_opening": 0}, "openings of 0 to 28"),
        ({"longest_opening": 32}, r"shortest <= longest < prompt_tokens \(32\)"),
        ({"vocabulary": 256}, "vocabulary 256"),
        ({"heads": 3}, "width 128 is not a multiple of heads 3"),
        ({"copy_patterns": ((2, 0),)}, "copy_patterns"),
        ({"shared": 1.5}, r"shared 1.5 is outside \[0, 1\]"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DemoConfig(**wrong)
