from pathlib import Path

import numpy as np

from memcirc.studies.blocks import Axes, entries, heat_map, numbered, table


def test_a_column_is_an_attribute_or_a_function_of_a_record() -> None:
    found = table([1 + 2j, 3 - 1j], {"real": "real", "size": lambda z: round(abs(z), 3)}, "Numbers", "a note")
    assert found.columns == ("real", "size")
    assert found.rows == [{"real": 1.0, "size": 2.236}, {"real": 3.0, "size": 3.162}]
    assert (found.title, found.note) == ("Numbers", "a note")
    assert table([], {"real": "real"}).rows == []


def test_keys_that_occur_twice_are_two_rows() -> None:
    assert entries([("a", 1), ("a", 2)], "token", "count").rows == [
        {"token": "a", "count": 1},
        {"token": "a", "count": 2},
    ]


def test_a_heat_map_is_labelled_by_number_unless_it_says_otherwise(tmp_path: Path) -> None:
    axes = Axes("head", "layer", "nats", y_labels=["first", "second"], rising=True)
    drawn = heat_map(tmp_path, "map", {"left": np.eye(2), "right": np.full((2, 2), np.nan)}, axes, "what it shows")
    text = (tmp_path / "figures" / "map.svg").read_text(encoding="utf-8")
    assert drawn.svg == text
    for label in ("left", "right", "head", "layer", "nats", "first", "second", ">0<", ">1<"):
        assert label in text
    assert drawn.caption == "what it shows"
    assert numbered(3) == ["0", "1", "2"]
