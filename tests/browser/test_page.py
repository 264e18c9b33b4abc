"""The page of a run as a reader meets it: on a phone and a desk, in the light and the dark, by mouse and keyboard."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.checks import is_quiet_and_fits, serious_violations
from tests.browser.conftest import LOOKS, Opened

READS = "summary, a[href], input, select, button, [tabindex='0']"


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_says_nothing_asks_for_nothing_and_fits(opened: Opened, page_of_run: Path, width: int, scheme: str) -> None:
    is_quiet_and_fits(opened, page_of_run, width, scheme)


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_axe_finds_no_serious_violation(opened: Opened, page_of_run: Path, width: int, scheme: str) -> None:
    assert serious_violations(opened, page_of_run, width, scheme) == []


def shown(page: Any) -> int:
    """Edges that the open sheet shows."""
    return int(page.locator(".sheet:visible path:not(.off)").count())


def test_the_slider_shows_as_many_edges_as_it_says(opened: Opened, page_of_run: Path) -> None:
    with opened(page_of_run) as watched:
        page, seen = watched.page, set()
        slider, text = page.locator(".sheet:visible input[type=range]"), page.locator(".sheet:visible output")
        slider.focus()
        page.keyboard.press("Home")
        for _ in range(int(slider.get_attribute("max") or 0) + 1):
            said = text.inner_text()
            (n,) = re.findall(r"(\d+) edges?", said)[:1]
            assert shown(page) == int(n), said
            assert slider.get_attribute("aria-valuetext") == said
            seen.add(said)
            page.keyboard.press("ArrowRight")
        assert len(seen) > 2
        assert watched.said == []


def test_each_tab_opens_its_circuit_alone(opened: Opened, page_of_run: Path) -> None:
    with opened(page_of_run) as watched:
        page = watched.page
        labels = page.locator(".explorer fieldset label")
        assert labels.count() > 1
        for i in range(labels.count()):
            labels.nth(i).click()
            visible = page.locator(".sheet:visible")
            assert visible.count() == 1
            assert visible.locator("figcaption").inner_text() == labels.nth(i).inner_text()


def test_edges_are_told_in_words_under_the_mouse_and_by_the_arrow_keys(opened: Opened, page_of_run: Path) -> None:
    with opened(page_of_run) as watched:
        page = watched.page
        line = page.locator(".sheet:visible .line")
        page.locator(".sheet:visible .scroll").focus()
        told = []
        for _ in range(3):
            page.keyboard.press("ArrowRight")
            told.append(line.inner_text())
        assert len(set(told)) == min(3, shown(page))
        assert all("->" in text and "score" in text for text in told)
        page.keyboard.press("ArrowLeft")
        assert line.inner_text() == told[-2]
        edge = page.locator(".sheet:visible path:not(.off)").last
        edge.dispatch_event("mouseover")
        assert line.inner_text() == edge.locator("title").text_content()


def test_a_figures_points_are_told_under_the_mouse_and_by_the_arrow_keys(opened: Opened, page_of_run: Path) -> None:
    with opened(page_of_run) as watched:
        page = watched.page
        figure = page.locator("figure.read[id$=curves]").first
        readings = json.loads(figure.locator("script").text_content() or "")
        line = figure.locator(".line")
        figure.locator(".drawing").focus()
        for key, expected in (("ArrowRight", 0), ("ArrowRight", 1), ("ArrowLeft", 0), ("ArrowUp", -1)):
            page.keyboard.press(key)
            assert line.inner_text() == readings[expected][2]
        assert "faithfulness" in line.inner_text()
        svg = figure.locator("svg")
        svg.scroll_into_view_if_needed()
        x, y, text = readings[3]
        left, top, scale = svg.evaluate("(svg) => { const m = svg.getScreenCTM(); return [m.e, m.f, m.a]; }")
        page.mouse.move(left + x * scale + 2, top + y * scale + 1)
        assert line.inner_text() == text
        mark = figure.locator(".here").bounding_box()
        assert mark is not None
        assert abs(mark["x"] + mark["width"] / 2 - left - x * scale) < 1
        assert watched.said == []


def inside(page: Any, sheet: int) -> set[str]:
    """The edges of the circuit of a sheet."""
    of_sheet = page.locator(".sheet").nth(sheet).locator("path[data-inside]:not(.other)")
    return set(of_sheet.evaluate_all("(edges) => edges.map((edge) => edge.dataset.edge)"))


def test_a_circuit_is_laid_over_another_by_the_keyboard_and_its_edges_are_counted(
    opened: Opened, page_of_run: Path
) -> None:
    with opened(page_of_run) as watched:
        page = watched.page
        select, told = page.locator(".over select"), page.locator(".sheet:visible .laid")
        here, other = inside(page, 0), inside(page, 2)
        assert len(other - here) > 1
        assert not told.is_visible()
        assert select.locator("option:disabled").count() == 1
        select.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        numbers = [int(n) for n in re.findall(r"(?:both|circuit|”): (\d+)", told.inner_text())]
        assert numbers == [len(here & other), len(here - other), len(other - here)]
        assert page.locator(".sheet:visible path.both").count() == len(here & other)
        assert page.locator(".sheet:visible path.other").count() == len(other - here)
        page.locator(".sheet:visible .scroll").focus()
        page.keyboard.press("ArrowLeft")
        assert page.locator(".sheet:visible .line").inner_text().endswith(". Only in the circuit laid over it.")
        page.locator(".explorer fieldset label").nth(2).click()
        assert select.input_value() == ""
        assert page.locator("path.other, path.both").count() == 0
        assert not told.is_visible()
        assert watched.said == []


def test_a_table_is_sorted_by_any_of_its_columns(opened: Opened, page_of_run: Path) -> None:
    with opened(page_of_run) as watched:
        page = watched.page
        table = page.locator(".evidence", has_text="Against random circuits").first
        table.locator("summary").click()
        heads = [text.strip() for text in table.locator("th").all_inner_texts()]
        column = heads.index("mean")
        button = table.locator("th button").nth(column)
        for direction, reverse in (("ascending", False), ("descending", True)):
            button.press("Enter")
            values = [float(text) for text in table.locator(f"td:nth-child({column + 1})").all_inner_texts()]
            assert values == sorted(values, reverse=reverse)
            assert table.locator("th").nth(column).get_attribute("aria-sort") == direction
        assert len(values) > 2


def test_everything_is_reached_by_the_keyboard(opened: Opened, page_of_run: Path) -> None:
    with opened(page_of_run) as watched:
        page = watched.page
        wanted = page.evaluate(
            f"""[...document.querySelectorAll("{READS}")].filter((part) => part.checkVisibility()).length"""
        )
        radios = page.locator(".explorer fieldset input").count()
        reached = set()
        for _ in range(wanted + 5):
            page.keyboard.press("Tab")
            reached.add(page.evaluate(f"""[...document.querySelectorAll("{READS}")].indexOf(document.activeElement)"""))
        assert len(reached - {-1}) >= wanted - (radios - 1)  # one of a group of radio buttons takes the focus


def test_without_a_script_the_page_still_shows_its_circuits_and_some_pairs(browser: Any, page_of_run: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_of_run.as_uri())
    assert page.locator(".sheet").count() == page.locator(".sheet:visible").count() > 1
    assert page.locator(".pair:visible").count() > 6
    assert page.locator(".browser:visible").count() == 0
    context.close()


def test_it_is_painted_within_a_second_and_is_no_heavier_than_six_megabytes(opened: Opened, page_of_run: Path) -> None:
    """The time is told, not asserted: a machine may be busy."""
    assert page_of_run.stat().st_size < 6 << 20
    with opened(page_of_run) as watched:
        # Loaded is not painted: on a busy machine the first paint comes after the page's `load`.
        first = watched.page.wait_for_function("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
        print(f"first contentful paint after {first.json_value():.0f} ms")


def test_printed_no_figure_is_cut(browser: Any, opened: Opened, page_of_run: Path, tmp_path: Path) -> None:
    """A sheet of A4 is 794 pixels wide, 1,123 high."""
    with opened(page_of_run, 794) as watched:
        page = watched.page
        page.emulate_media(media="print")
        sizes = page.evaluate(
            """[...document.querySelectorAll('figure svg')].map((part) => part.getBoundingClientRect())
                .map((box) => [box.right, box.height])"""
        )
        assert sizes
        assert all(right <= 795 and height <= 1123 for right, height in sizes)
        page.pdf(path=str(tmp_path / "page.pdf"), format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
