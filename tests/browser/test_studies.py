"""The pages of the studies, from results made by hand, as a reader meets them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from memcirc.studies.ioi.page import write_ioi_page
from memcirc.studies.latent.page import write_latent_page
from memcirc.studies.pii.page import write_pii_page
from memcirc.studies.sweep.page import write_sweep_page
from tests.browser.checks import is_quiet_and_fits, serious_violations
from tests.browser.conftest import LOOKS, Opened
from tests.studies.ioi.made import ioi_results
from tests.studies.latent.made import latent_results
from tests.studies.pii.made import made_results
from tests.studies.sweep.made import swept

HOOKS = ",".join(f"blocks.{layer}.{hook}" for layer in (0, 1) for hook in ("hook_mlp_out", "attn.hook_pattern"))
STATEMENT = {"seed": 3, "model": "a model"}
PAGES: dict[str, Callable[[Path], Path]] = {
    "ioi": lambda out: write_ioi_page(out, ioi_results(), STATEMENT),
    "latent": lambda out: write_latent_page(out, latent_results(), STATEMENT, 0.05),
    "pii": lambda out: write_pii_page(out, made_results(), STATEMENT),
    "sweep of a map": lambda out: write_sweep_page(out, swept("block_every"), STATEMENT),
    "sweep of hooks": lambda out: write_sweep_page(out, swept(HOOKS), STATEMENT),
    "sweep of many": lambda out: write_sweep_page(out, swept("head_pattern_dest_src_pos"), STATEMENT),
}


@pytest.fixture(scope="module", params=PAGES)
def page_of_study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return PAGES[request.param](tmp_path_factory.mktemp("study"))


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_says_nothing_asks_for_nothing_and_fits(
    opened: Opened, page_of_study: Path, width: int, scheme: str
) -> None:
    is_quiet_and_fits(opened, page_of_study, width, scheme)


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_axe_finds_no_serious_violation(opened: Opened, page_of_study: Path, width: int, scheme: str) -> None:
    assert serious_violations(opened, page_of_study, width, scheme) == []


def test_it_asks_a_question_and_answers_before_its_sections(opened: Opened, page_of_study: Path) -> None:
    with opened(page_of_study) as watched:
        page = watched.page
        assert "?" in page.locator("h1").inner_text()
        answers = page.locator("main > ul.findings li")
        assert answers.count() > 2
        below = page.locator("nav").bounding_box()
        assert below is not None
        assert below["y"] < 1800
        assert "hook_" not in " ".join(answers.all_inner_texts())
