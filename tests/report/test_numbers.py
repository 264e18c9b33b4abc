"""What a passage holds is shown on a page, and obeyed nowhere: not by a browser, not by Markdown, not by a terminal."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from markupsafe import Markup

from memcirc.report.contrasts import Contrast, pair_browser
from memcirc.report.numbers import visible
from memcirc.report.sections import Section, TableBlock, write_page
from memcirc.report.tables import markdown_table

ACTING = "\x00\x07\x1b[2J\x7f\x9b\u200e\u202e\u2066\u061c\ufeff\u2028\ud800"
HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>",
    "</pre><h1>x", "a | b\n| c | d", "`x` *y* _z_ **w**",
    "[x](javascript:alert(1))", "![x](http://x/y.png)", "# heading", "{{ 7 * 7 }}{% include 'x' %}",
    "&lt;b&gt;", ACTING,
]  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(text: str, out: Path) -> tuple[Tags, str, str]:
    """A page on which a text stands in every place where one of a corpus may: its tags, its source, its Markdown."""
    contrast = Contrast(text, text, text, text, text, text)
    block = TableBlock(("doc_id", "value"), [{"doc_id": text, "value": 1.0}])
    pair = {"clean": text, "corrupt": text, "answers": [text], "wrong_answers": [text], "doc_id": text, "subset": text}
    browser = pair_browser([pair] * 7)
    section = Section(
        "S", pairs=(contrast,), browser=browser, tables=(block,), facts={"": {"a": text}}, refused=(text,)
    )
    source = write_page(out, "t", (text,), (), [section]).read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(source)
    return tags, source, (out / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_passage_makes_no_element_and_no_sign_of_it_acts(text: str, tmp_path: Path) -> None:
    plain, *_ = page("x", tmp_path / "plain")
    tags, source, markdown = page(text, tmp_path / "hostile")
    assert [tag for tag, _ in tags.seen] == [tag for tag, _ in plain.seen]
    assert visible(text) in "".join(tags.text)
    for sign in set(ACTING) - {"["}:
        assert sign.isprintable() or sign not in source + markdown
    assert "".join(tags.text).count("49") == "".join(plain.text).count("49")


def test_codes_stand_for_what_is_not_seen() -> None:
    assert visible("a\u202eb\x1b") == "a\\u202eb\\u001b"
    assert visible("a\n\tä 漢 ✓") == "a\n\tä 漢 ✓"
    assert visible(Markup("<b>")) == Markup("<b>")
    assert visible(3) == 3


def test_a_cell_of_markdown_stays_one() -> None:
    table = markdown_table([{"a": "x | y\n`*[z](u)* <b> _w_ snake_case", "b": 1.5}], ("a", "b"))
    assert table.splitlines()[2] == r"| x \| y\\n\`\*\[z\](u)\* \<b\> \_w\_ snake_case | 1.500 |"
