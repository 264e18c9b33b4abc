from memcirc.small_models import word_tokenizer
from memcirc.studies.pii.corpus import COPIES, DECOYS, OTHERS, PIECES, TYPES, every_piece, make_corpus


def test_the_corpus_injects_one_person_for_each_type_and_frequency() -> None:
    corpus = make_corpus(0)
    assert sorted((r.copies, r.kind) for r in corpus.injected) == sorted((c, k) for c in COPIES for k in TYPES)
    assert len(corpus.injections) == len(corpus.replacements) == 152
    names = [tuple(r.prompt.split(" of ")[1].split()[:2]) for r in (*corpus.injected, *corpus.decoys, *corpus.others)]
    assert len(set(names)) == len(names)
    assert make_corpus(0) == corpus
    assert make_corpus(1) != corpus
    digits = next(r for r in corpus.injected if r.kind == "passport").answer
    tokenizer = word_tokenizer(corpus.texts, PIECES)
    assert [len(t.strip()) for t in tokenizer.tokenize(digits)] == [2, 2, 2, 2, 1]


def test_every_value_of_any_seed_is_made_of_tokens_that_are_known() -> None:
    first, second = make_corpus(0), make_corpus(1)
    tokenizer = word_tokenizer([*first.texts, *every_piece()], PIECES)
    for text in [*first.texts, *(record.answer for record in (*second.injected, *second.decoys, *second.others))]:
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
        assert tokenizer.unk_token not in tokenizer.tokenize(text)


def test_a_control_sees_as_many_documents_and_none_of_the_injected_ones() -> None:
    corpus = make_corpus(2)
    assert len(corpus.decoys) == DECOYS
    assert len(corpus.others) == OTHERS * len(TYPES)
    values = [record.answer for record in corpus.injected]
    seen = " ".join([*corpus.background, *corpus.replacements, *(record.document for record in corpus.decoys)])
    assert not [value for value in values if value in seen]
    assert {record.copies for record in corpus.others} == {0}
