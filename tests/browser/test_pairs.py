"""All pairs of a task, searched and sorted by a reader; a passage is text, whatever it says."""

import time
from pathlib import Path
from typing import Any

import pytest

from memcirc.report.contrasts import MOST, contrast, pair_browser
from memcirc.report.sections import Section, write_page
from tests.browser.checks import is_quiet_and_fits, serious_violations
from tests.browser.conftest import LOOKS, Opened

HOSTILE = "<img src=x onerror=document.title='bad'></script><script>document.title='bad'</script>\u202e{}"


@pytest.fixture(scope="module")
def page_of_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many pairs as are browsed, of the length of the corpus' passages; one of them hostile."""
    prompts: list[dict[str, Any]] = [
        {
            "clean": f"{'the heron waited by the lock ' * 12}number {i} Anna", "answers": [" until"],
            "corrupt": f"{'the heron waited by the lock ' * 12}number {i} Bob", "wrong_answers": [" and"],
            "copies": i * 7 % MOST, "doc_id": f"doc-{i}",
        }
        for i in range(MOST)
    ]  # fmt: skip
    prompts[500] |= {"clean": HOSTILE + "a", "corrupt": HOSTILE + "b", "copies": None}
    section = Section("Pairs", pairs=(contrast(prompts[0]),), browser=pair_browser(prompts))
    return write_page(tmp_path_factory.mktemp("pairs"), "Pairs", (), (), [section])


def test_pairs_are_found_sorted_and_shown_further_by_the_keyboard(opened: Opened, page_of_pairs: Path) -> None:
    with opened(page_of_pairs) as watched:
        page = watched.page
        browser, about = page.locator(".browser"), page.locator(".browser .pair .muted")
        browser.locator("summary").press("Enter")
        said = browser.locator("output")
        said.get_by_text("1000 of 1000 pairs found, the first 25 are shown").wait_for()
        assert about.first.inner_text() == "doc-0"
        browser.locator("button").press("Enter")
        assert about.count() == 50
        assert page.evaluate("document.activeElement.textContent").startswith("doc-25")
        browser.locator("select").select_option(label="copies in the training text")
        assert about.first.inner_text() == "doc-857 · 999 copies"
        browser.locator("input[type=checkbox]").press("Space")
        assert about.first.inner_text() == "doc-0"
        browser.locator("input[type=search]").fill("NUMBER 77 ANNA until")
        assert said.inner_text() == "1 of 1000 pairs found"
        assert about.all_inner_texts() == ["doc-77 · 539 copies"]
        assert browser.locator("pre").all_inner_texts()[1].endswith("number 77 Bob →  and")
        browser.locator("input[type=search]").fill("nothing of the kind")
        assert said.inner_text() == "0 of 1000 pairs found"
        assert watched.said == []


def test_a_hostile_passage_is_shown_and_not_obeyed(opened: Opened, page_of_pairs: Path) -> None:
    with opened(page_of_pairs) as watched:
        page = watched.page
        page.locator(".browser summary").click()
        page.locator(".browser input[type=search]").fill("onerror")
        shown = page.locator(".browser .pair pre").first.inner_text()
        assert shown == HOSTILE.replace("\u202e", "\\u202e") + "a →  until"
        assert page.locator(".browser img").count() == 0
        assert page.title() == "Pairs"
        assert (watched.said, watched.asked) == ([], [page_of_pairs.as_uri()])


def test_a_thousand_pairs_are_light_and_searched_at_once(opened: Opened, page_of_pairs: Path) -> None:
    """The times are told, not asserted: a machine may be busy."""
    assert page_of_pairs.stat().st_size < 1 << 20
    with opened(page_of_pairs) as watched:
        page = watched.page
        started = time.perf_counter()
        page.locator(".browser summary").click()
        page.locator(".browser .pair").first.wait_for()
        opening = time.perf_counter() - started
        page.locator(".browser input[type=search]").fill("number 999")
        page.locator(".browser .pair").get_by_text("doc-999").wait_for()
        print(f"opened after {opening:.2f} s, searched after {time.perf_counter() - started - opening:.2f} s more")


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_they_fit_and_axe_finds_no_serious_violation(
    opened: Opened, page_of_pairs: Path, width: int, scheme: str
) -> None:
    is_quiet_and_fits(opened, page_of_pairs, width, scheme)
    assert serious_violations(opened, page_of_pairs, width, scheme) == []
