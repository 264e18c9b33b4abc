"""What every page must pass, all its parts opened."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import Opened

OPEN_ALL = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"


def is_quiet_and_fits(opened: Opened, path: Path, width: int, scheme: str) -> None:
    """No message, no request but for the page itself, nothing wider than the window."""
    with opened(path, width, scheme) as watched:
        page = watched.page
        page.evaluate(OPEN_ALL)
        assert watched.said == []
        assert watched.asked == [path.as_uri()]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        outside = page.evaluate(
            """(width) => [...document.querySelectorAll('p, li, dd, h1, h2, figcaption, summary, output, select')]
                .filter((part) => !part.closest('.scroll') && part.getBoundingClientRect().right > width + 1)
                .map((part) => part.textContent.slice(0, 60))""",
            width,
        )
        assert outside == []


def serious_violations(opened: Opened, path: Path, width: int, scheme: str) -> list[Any]:
    """What axe finds to be serious or critical, and where."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(path, width, scheme) as watched:
        watched.page.evaluate(OPEN_ALL)
        found = axe.run(watched.page).response["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    return [(each["id"], [node["target"] for node in each["nodes"]][:3]) for each in serious]
