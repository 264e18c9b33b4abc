"""Tables of sites, from results made by hand."""

from pathlib import Path

from memcirc.studies.pii.results import PiiResults
from memcirc.studies.pii.site_sections import site_sections
from tests.studies.pii.made import rows


def test_sites_are_ranked_by_size_aliases_left_out(results: PiiResults, tmp_path: Path) -> None:
    sites, components, tokens, suppression, _ = site_sections(tmp_path, results)
    assert sites.title == "Every site (8, of which 7 distinct)"
    assert [row["effect"] for row in rows(sites)] == [6.0, -3.0, 2.0, 2.0, 1.0, 1.0, 0.5]
    assert [row["same as"] for row in rows(sites, 1)] == [None, "embed", *[None] * 6]
    by_component, by_layer = rows(components), rows(components, 1)
    assert {row["group"]: row["mean"] for row in by_component} == {
        "token embedding": 0.5, "attention output": -1.0, "MLP output": 1.5, "residual stream after the layer": 4.0
    }  # fmt: skip
    assert by_layer == [
        {"group": "layer 0", "mean": -1.0, "highest": 1.0, "lowest": -3.0, "count": 2},
        {"group": "layer 1", "mean": 1.5, "highest": 2.0, "lowest": 1.0, "count": 2},
    ]
    assert [row["effect"] for row in rows(suppression)][:2] == [-6.0, -2.0]
    assert "same as" not in rows(suppression)[0]
    assert "attention output" in tokens.drawings[0].svg
    assert not [word for word in ("hook_", "query") if word in tokens.drawings[0].svg]
