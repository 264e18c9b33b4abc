"""The site: it builds strictly and in time, fetches nothing, and has every page as Markdown beside its HTML, every
public name and every option."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import memcirc
from memcirc.attribution.methods import METHODS
from memcirc.graph import graph_of
from memcirc.interventions import ABLATIONS
from memcirc.report.claims import ORDER
from memcirc.verification.checks import CHECKS
from tests.docs.blocks import DOCS, PAGES, ROOT

SECONDS = 60
LOADED = re.compile(r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=\"([^\"]*)\"|<link\b[^>]*\bhref=\"([^\"]*)\"")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    start = os.times()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert os.times().children_user - start.children_user < SECONDS  # of processor time: others may be at work here
    return folder


def test_every_page_is_there_as_html_and_as_markdown(site: Path) -> None:
    pages = {page.relative_to(site).with_suffix("") for page in site.rglob("*.html")} - {Path("404")}
    assert pages == {page.relative_to(site).with_suffix("") for page in site.rglob("*.md")}
    written = {page.relative_to(DOCS).with_suffix("") for page in PAGES if page.is_relative_to(DOCS)}
    assert written < pages
    assert {path.as_posix() for path in pages - written} == {
        "options", "measured", "notebooks/road", "notebooks/patching", "notebooks/circuits"
    }  # fmt: skip


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = [a or b for a, b in LOADED.findall(page.read_text(encoding="utf-8"))]
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_the_list_for_language_models_names_every_page_once(site: Path) -> None:
    listed = re.findall(r"^- \[[^]]+\]\(([^)]+)\): \S", (site / "llms.txt").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(page.relative_to(site).as_posix() for page in site.rglob("*.md"))


@pytest.mark.parametrize("name", memcirc.__all__)
def test_a_public_name_is_in_the_reference_and_in_its_copy(site: Path, name: str) -> None:
    assert f'id="memcirc.{name}"' in (site / "api.html").read_text(encoding="utf-8")
    copy = (site / "api.md").read_text(encoding="utf-8")
    assert f"### memcirc.{name}\n" in copy
    assert "\n::: " not in copy
    assert ":::" not in copy


def test_the_fields_of_records_are_in_the_reference_with_their_defaults_and_help(site: Path) -> None:
    copy = (site / "api.md").read_text(encoding="utf-8")
    for row in (
        "| `threshold` | `float` | `0.75` | lowest score of a memorized passage |",
        "| `n_random` | `int` | `100` | random circuits of the same size, of each kind |",
        "| `lift` | <code>float &#124; None</code> | `None` |  |",
        "| `per_example` | `bool` |  |  |",
    ):
        assert row in copy, row


def test_no_role_of_sphinx_is_left_in_the_reference(site: Path) -> None:
    for name in ("api.html", "api.md"):
        assert not re.search(r":(func|class|mod|meth|attr|data):", (site / name).read_text(encoding="utf-8"))


def test_the_options_of_every_command_are_listed(site: Path) -> None:
    options = (site / "options.md").read_text(encoding="utf-8")
    for option in ("--model_name", "--threshold", "--random_circuits", "--shard", "--sites", "--full"):
        assert f"`{option}`" in options
    assert "## memcirc patch ioi" in options


def test_the_navigation_names_every_page() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"[\w/-]+\.md$", text, re.M)
    assert len(listed) == len(set(listed))
    assert yaml.safe_load(text)["theme"]["font"] is False


def test_every_claim_of_a_page_has_its_row_in_the_tutorial() -> None:
    rows = (DOCS / "tutorial" / "page.md").read_text(encoding="utf-8")
    assert not [name for name in ORDER if f"| {name} |" not in rows]


def test_every_method_ablation_and_check_has_its_row() -> None:
    for page, names in {"methods": METHODS, "ablations": ABLATIONS, "tutorial/verification": CHECKS}.items():
        text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
        assert not [name for name in names if not re.search(rf"^\|[^|]*`{name}`", text, re.M)]


def test_the_model_types_are_listed() -> None:
    text = " ".join((DOCS / "tutorial" / "corpus.md").read_text(encoding="utf-8").split())
    assert f": {', '.join(memcirc.supported_types())}. Any other" in text


def test_edges_by_model_are_what_the_graph_has() -> None:
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig

    neox = {"num_attention_heads": 12, "hidden_size": 768, "num_hidden_layers": 12}
    llama = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 2048, "num_hidden_layers": 16}
    rows = (DOCS / "sizes.md").read_text(encoding="utf-8")
    for name, config in {
        "GPT-2 small, GPT-Neo-125m": GPT2Config(),
        "Pythia-160m": GPTNeoXConfig(**neox),
        "Llama-3.2-1B": LlamaConfig(**llama),
    }.items():
        assert f"| {name} | {graph_of(config).n_edges:,} |" in rows
    assert f"| 386,713 | {graph_of(LlamaConfig(**llama), grouped_kv=True).n_edges:,} |" in rows
