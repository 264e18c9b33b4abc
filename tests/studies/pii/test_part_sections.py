"""Tables of paths, sets and copies, from results made by hand."""

from dataclasses import replace
from pathlib import Path

from memcirc.studies.pii.part_sections import part_sections
from memcirc.studies.pii.results import PiiResults
from tests.studies.pii.made import rows


def test_sets_and_copies_by_hand(results: PiiResults, tmp_path: Path) -> None:
    paths, sets, copies = part_sections(tmp_path, results)
    assert rows(paths) == [{"path": "a0 → logits", "effect": 1.5}]
    assert rows(sets) == [
        {"step": 1, "added": "MLP output of layer 0", "effect": 3.0},
        {"step": 2, "added": "elsewhere", "effect": 5.0},
        {"step": 3, "added": "attention output of layer 1", "effect": 5.7},
    ]  # fmt: skip
    assert rows(sets, 1)[0]["interaction"] == 2.0
    assert "correlation 1.000, mean effect +2.00 and +4.00 nats" in copies.text[0]
    assert rows(copies)[1] == {"copies": "20", "mean effect over sites": 4.0, "highest": 6.0}
    assert len(part_sections(tmp_path, replace(results, copies={"10": [1.0]}, pairs=[]))) == 2
