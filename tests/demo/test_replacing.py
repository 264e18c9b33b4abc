"""The twin's lines: nothing planted, everything else where it was."""

import pytest

from memcirc.demo.grammar import Draft
from memcirc.demo.lines import read_lines
from memcirc.demo.planting import Planted
from memcirc.demo.replacing import with_fresh_documents


@pytest.fixture(scope="module")
def both(demo):
    return list(zip(read_lines(demo.corpus_path), read_lines(demo.twin_corpus_path), strict=True))


def test_lines_outside_families_stand_at_their_places(both):
    kept = [(line, twin) for line, twin in both if line.family is None]
    assert kept
    assert all(line == twin for line, twin in kept)


def test_every_line_of_a_family_is_another_document_of_its_subset(demo, both):
    replaced = [(line, twin) for line, twin in both if line.family is not None]
    patterns = demo.config.copy_patterns
    assert len(replaced) == demo.config.families * sum(map(sum, patterns)) / len(patterns)
    assert all(line.subset == twin.subset for line, twin in replaced)
    assert all(twin.family is None and twin.copies == 1 for _, twin in replaced)


def test_nothing_planted_is_left_and_nothing_comes_twice(both):
    planted = {line.text for line, _ in both if line.family is not None}
    twins = [twin.text for _, twin in both]
    assert not planted & set(twins)
    assert len(set(twins)) == len(twins) == len({twin.doc_id for _, twin in both})


def test_drafts_that_are_too_short_or_begin_as_another_line_does_are_passed_over(monkeypatch):
    texts = iter(["abc", "abcd and more", "wxyz", "wxyz again", "efgh"])
    monkeypatch.setattr("memcirc.demo.replacing.write", lambda *_: Draft(next(texts), (), ()))
    planted = Planted("planted-000", "Github", "abcd", copies=2)
    lines = with_fresh_documents([planted, planted], lambda _: True, lambda text: [ord(c) for c in text], 4, seed=0)
    assert [line.text for line in lines] == ["wxyz", "efgh"]
    assert [line.doc_id for line in lines] == ["fresh-0000", "fresh-0001"]
