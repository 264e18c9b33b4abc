"""Headless chromium, and a page of a finished run in it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="make test-browser installs what drives a browser")
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
LOOKS = tuple(product((390, 1280), ("light", "dark")))


@dataclass
class Watched:
    """A page in a browser, and what it said and asked for."""

    page: "Page"
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


Opened = Callable[..., AbstractContextManager[Watched]]


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("no chromium; CHROMIUM names one")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield found
        found.close()


@pytest.fixture(scope="session")
def opened(browser: "Browser") -> Opened:
    """Opens a file at a width, in light or dark."""

    @contextmanager
    def open_page(path: Path, width: int = 1280, scheme: str = "light", **options: Any) -> Iterator[Watched]:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **options
        )
        watched = Watched(context.new_page())
        watched.page.on("console", lambda message: watched.said.append(message.text))
        watched.page.on("pageerror", lambda error: watched.said.append(str(error)))
        watched.page.on("request", lambda request: watched.asked.append(request.url))
        watched.page.goto(path.as_uri())
        yield watched
        context.close()

    return open_page


@pytest.fixture(scope="session")
def page_of_run(finished_run: Path) -> Path:
    return finished_run / "report" / "report.html"
