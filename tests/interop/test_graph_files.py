"""GraphML, DOT and CSV that are not ours are refused; what is ours comes back in ``test_reading.py``."""

from pathlib import Path

import pytest

from memcirc.interop.reading import load_circuit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE x [<!ENTITY a "b">]><graphml/>', "a document type of its own is not read"),
        ("<graphml/>", "not a circuit in memcirc's GraphML"),
        ("<graphml", "not a circuit in memcirc's GraphML"),
        ("digraph g { a -> b }", "not a circuit in memcirc's DOT"),
        ('digraph g {\n  // cfg {"n_layers": 1, "n_heads": 1}\n  a -> b\n}', "an edge that is written otherwise"),
        ("edge,source,destination,score,in_circuit\n", "not a table of edge, source"),
        ("edge,source,destination,score,in_circuit\na,b,c,1,yes\n", "not a table of edge, source"),
        ("edge,source,destination,score,in_circuit\ninput->a0.h0<q>,,,1,1\ninput->a0.h0<k>,,,1,1\n", "2 rows are not"),
        ("edge", "not JSON"),
    ],
)
def test_text_that_is_no_circuit_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "c").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_circuit(tmp_path / "c")
