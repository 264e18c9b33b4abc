"""Names of the Pile's subsets."""

import pytest

from memcirc.corpus import PILE_SUBSETS, licence_note, subset_name
from memcirc.corpus.subsets import COPYRIGHTED, DATASET_OF_SUBSET, MIXED_DATASET, SHORT_NAMES, dataset_of


def test_there_are_22_and_each_answers_to_its_own_name():
    assert len(PILE_SUBSETS) == len(set(PILE_SUBSETS)) == 22
    assert [subset_name(name) for name in PILE_SUBSETS] == list(PILE_SUBSETS)


@pytest.mark.parametrize(
    ("alias", "exact"),
    [
        ("wikipedia", "Wikipedia (en)"),
        ("WIKIPEDIA_EN", "Wikipedia (en)"),
        ("GitHub", "Github"),
        ("enron", "Enron Emails"),
        ("enron-emails", "Enron Emails"),
        ("pile_cc", "Pile-CC"),
        ("nih exporter", "NIH ExPorter"),
        ("pg-19", "Gutenberg (PG-19)"),
    ],
)
def test_case_spaces_and_punctuation_do_not_matter_and_short_names_do(alias, exact):
    assert subset_name(alias) == exact


def test_a_miss_lists_all_names():
    with pytest.raises(ValueError, match="unknown Pile subset 'wikipedai'") as error:
        subset_name("wikipedai")
    assert all(name in str(error.value) for name in PILE_SUBSETS)


def test_every_table_speaks_of_subsets_that_exist():
    assert {*SHORT_NAMES.values(), *DATASET_OF_SUBSET, *COPYRIGHTED} <= set(PILE_SUBSETS)
    assert len(PILE_SUBSETS) - len(COPYRIGHTED) == 17


def test_a_subset_is_served_alone_or_among_others_or_not_at_all():
    assert dataset_of("wikipedia") == "timaeus/pile-wikipedia_en"
    assert dataset_of("ubuntu") == MIXED_DATASET
    with pytest.raises(ValueError, match=r"'Books3' holds whole books under copyright.*accepted is a local file"):
        dataset_of("books3")


def test_copyrighted_text_has_a_licence_note_and_other_text_none():
    assert "Books3" in (licence_note("books") or "")
    assert licence_note("github") is None
