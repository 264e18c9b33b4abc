"""The section and the finding, from circuits made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from memcirc.studies.pii.circuit_results import NoCircuits, Suppressed
from memcirc.studies.pii.circuit_section import circuit_finding, circuit_section
from memcirc.verification.removal import FOUND_ON, MEMORIZED
from tests.studies.pii.made import made_circuits, removal, rows


def test_tables_say_what_was_found(tmp_path: Path) -> None:
    found = circuit_section(tmp_path, made_circuits())
    assert [table.title for table in found.tables] == [
        "Both circuits", "What else is lost with the necessary circuit",
        "What is said freely without the necessary circuit", "By frequency and by type", "Found anew on other splits",
        "Where the circuits sit",
    ]  # fmt: skip
    both, lost, said, groups, anew, places = (rows(found, i) for i in range(6))
    assert [(row["circuit"], row["edges"], row["on test"]) for row in both] == [
        ("sufficient", 2, 0.8), ("necessary", 1, 0.875)
    ]  # fmt: skip
    assert [(row["text"], row["added"], row["low"]) for row in lost] == [
        ("test records", 2.0, 1.5), ("records it was found on", 2.5, None), ("decoys", 0.05, None),
        ("other", -0.01, None),
    ]  # fmt: skip
    assert (said[0]["recited before"], said[0]["recited after"], said[2]["unchanged"]) == (1.0, 0.2, 0.75)
    assert groups[0]["group"] == "copies 20"
    assert groups[1]["the sufficient circuit keeps"] is None
    assert [row["necessary edges"] for row in anew] == [1, 2]
    assert places == [{"edges": "read by", "place": "layer 0", "of all": 6, "sufficient": 2, "necessary": 1}]


def test_the_text_says_on_how_many_records_and_which_edges(tmp_path: Path) -> None:
    found = circuit_section(tmp_path, made_circuits())
    assert "ranked on 2 records, sizes chosen on 1, everything measured on 5 others" in found.text[1]
    assert found.text[1].endswith("other splits stand below.")
    assert found.text[2] == "Necessary: input->m0."
    assert "1 edges" not in found.drawings[0].svg
    assert {">2 edges<", ">1 edge<"} <= {f">{part.partition('<')[0]}<" for part in found.drawings[0].svg.split(">")}
    many = replace(made_circuits().necessary, edges=tuple(f"a{i}" for i in range(21)))
    large = {"train": 20, "validation": 5, "test": 5}
    other = circuit_section(tmp_path, replace(made_circuits(), necessary=many, n_records=large, warning="apart"))
    assert other.text[0] == "WARNING: apart."
    assert len(other.text) == 3
    assert other.text[2].endswith("in two of these parts.")


def test_the_section_says_why_there_is_none(tmp_path: Path) -> None:
    found = circuit_section(tmp_path, NoCircuits("two people"))
    assert found.text == ("Not found: two people.",)
    assert not found.tables
    told = circuit_finding(NoCircuits("two people"))
    assert (told.text, told.holds) == ("No circuit of the injected records: two people.", None)


def test_the_finding_says_sizes_effects_and_the_worst_costs() -> None:
    found = circuit_finding(made_circuits())
    assert found.text == (
        "2 of 10 edges (found anew on other splits: 3 to 5) keep 0.800 of what the target knows better about 5 records "
        "that they were not found on, and 1 (1 to 2) is necessary: with the control's values there 0.125 is left, the "
        "loss of the records rises by 2.00 nats a token, and 20% of them are still recited freely (100% before); "
        "elsewhere this adds at most +0.050 nats a token (decoys), and of what is said freely there up to 25% changes "
        "(decoys; with every edge taken out 50%)."
    )
    assert found.holds is True


@pytest.mark.parametrize(
    ("others", "low", "holds"),
    [
        ([("decoys", 0.2)], 1.5, False),
        ([("decoys", -0.2)], 1.5, True),
        ([("decoys", 0.05)], None, None),
        ([], 1.5, None),
    ],
)
def test_it_holds_where_the_removal_is_specific(
    others: list[tuple[str, float]], low: float | None, holds: bool | None
) -> None:
    changes: dict[str, Any] = {
        "removal": [removal(MEMORIZED, 2.0, low), removal(FOUND_ON, 9.0), *(removal(*each) for each in others)],
        "suppression": [Suppressed(name, 4, 1.0, 0.0, 0.5, 0.5) for name in (MEMORIZED, *(o[0] for o in others))],
    }
    found = circuit_finding(replace(made_circuits(), **changes))
    assert found.holds is holds
    assert ("there is no other text" in found.text) == (not others)
