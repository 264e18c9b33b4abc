"""What a paper takes from a page: tables that LaTeX sets and any reader reads, methods, references."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.attribution.methods import METHODS as ALL_METHODS
from memcirc.report.drawing import draw, in_page_colours
from memcirc.report.figures import INK, heat_maps, panels, styled
from memcirc.report.numbers import visible
from memcirc.report.papers import METHODS, cited, methods, paper_section
from memcirc.report.plotting import Figure
from memcirc.report.references import REFERENCES
from memcirc.report.tables import csv_table, escaped, latex_table
from tests.report.records import evidence

VALUES = st.none() | st.integers(-10, 10) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=5))
def test_a_csv_gives_back_what_was_written(rows: list[tuple[object, object]]) -> None:
    text = csv_table([{"a b": x, "c": y, "hidden": 1} for x, y in rows], ("a b", "c"))
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    assert head == ["a b", "c"]
    assert lines == [["" if value is None else str(visible(value)) for value in row] for row in rows]


def test_a_latex_table_by_hand() -> None:
    rows = [{"kind": "uniform_50%", "found": 0.25, "n": 3}, {"kind": "a & b", "found": None, "n": 10}]
    assert latex_table(rows, ("kind", "found", "n"), "Of $x$").splitlines() == [
        r"\begin{table}", r"\centering\small", r"\begin{tabular}{lrr}", r"\toprule", r"kind & found & n \\",
        r"\midrule", r"uniform\_50\% & 0.250 & 3 \\", r"a \& b & -- & 10 \\", r"\bottomrule", r"\end{tabular}",
        r"\caption{Of \$x\$}", r"\end{table}",
    ]  # fmt: skip


@given(st.text(max_size=20))
def test_no_sign_of_a_passage_is_a_command(text: str) -> None:
    plain = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]|\$\\[a-z]+\$", "", escaped(text))
    assert not set(plain) & set("\\&%$#_{}~^")


def test_every_method_of_a_paper_names_it_and_every_name_is_an_entry() -> None:
    assert set(METHODS) == set(ALL_METHODS) - {"magnitude", "exact", "random"}
    for keys in METHODS.values():
        assert set(keys) <= REFERENCES.keys()
    for key, entry in REFERENCES.items():
        assert entry.startswith("@")
        assert entry.splitlines()[0].endswith(f"{{{key},")
        assert entry.count("{") == entry.count("}")


def test_without_a_circuit_there_is_nothing_for_a_paper() -> None:
    assert paper_section([evidence()]) == []


def test_the_files_of_a_page_are_there_under_the_names_that_it_links(finished_run: Path) -> None:
    out = finished_run / "report"
    page = (out / "report.html").read_text()
    links = set(re.findall(r'href="((?:tables|figures)/[^"]+)"', page))
    assert {Path(link).suffix for link in links} == {".csv", ".tex", ".svg", ".pdf"}
    for link in links:
        assert (out / link).stat().st_size > 0, link
    text = re.sub(r"<[^>]+>", "", page)
    assert "We scored the" in text
    assert "@misc{miller2024transformer" in text


@styled
def titled() -> Figure:
    figure, (axes,) = panels(1)
    axes.set_title("a title")
    return figure


def test_a_pdf_embeds_its_fonts_and_keeps_its_text(tmp_path: Path) -> None:
    figure = titled()
    drawing = draw(tmp_path, "one", figure, "")
    content = (tmp_path / "figures" / "one.pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    draw(tmp_path, "two", figure, "")
    assert (tmp_path / "figures" / "two.pdf").read_bytes() == content
    assert not drawing.on_white
    assert INK not in drawing.svg
    assert "var(--ink)" in drawing.svg
    assert INK in (tmp_path / "figures" / "one.svg").read_text()


def test_maps_of_cells_stay_on_white(tmp_path: Path) -> None:
    figure = heat_maps({"a": np.eye(2)}, ["x", "y"], ["u", "v"], "columns", "rows", "value")
    drawing = draw(tmp_path, "map", figure, "")
    assert drawing.on_white
    assert "var(--ink)" not in drawing.svg
    assert in_page_colours(f"fill: {INK}") == "fill: var(--ink)"


@pytest.fixture
def told(finished_run: Path) -> str:
    from memcirc.report.page import _evidence
    from memcirc.run.reading import Run

    files = Run(finished_run).files()
    found = [_evidence(task, each, ()) for task, each in files.tasks.items()]
    assert set(cited(found)) <= REFERENCES.keys()
    return " ".join(methods(found))


def test_the_methods_have_the_runs_own_numbers(told: str, finished_run: Path) -> None:
    from memcirc.run.reading import Run

    run = Run(finished_run)
    for task in run.files().tasks:
        train, validation, test = run.splits(task)
        for mode in ("tree", "edge"):
            assert f"{len(run.circuit(task, mode))} edges in mode {mode}" in told
        for said in (f"on {len(train)} training pairs", f"on {len(validation)} validation", f"on {len(test)} test"):
            assert said in told
