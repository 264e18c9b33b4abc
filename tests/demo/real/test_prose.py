"""Prose in documentation strings: what is taken, up to where, and in which order."""

from memcirc.demo.real.prose import documentation_in, is_prose, library, prose, running_text

SOURCE = '''"""First words of a module,
on two lines.

And a second paragraph.

    >>> 1 + 1
    2
"""

class Second:
    """Words of a class."""

    def third(self):
        """Words of a method.

        - a list
        """

def fourth():
    "x = {y[0]: 3 * (z + 1)}"

def fifth():
    """Words of a class."""
'''


def test_documentation_is_read_from_top_to_bottom_up_to_its_first_example_or_list(tmp_path):
    (tmp_path / "b.py").write_text(SOURCE)
    (tmp_path / "a.py").write_text('"""Words of another file."""')
    assert list(prose(tmp_path)) == [
        "Words of another file.",
        "First words of a module, on two lines. And a second paragraph.",
        "Words of a class.",
        "Words of a method.",
    ]


def test_tests_and_what_is_no_python_are_left_out(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test_x.py").write_text('"""Words of a test."""')
    (tmp_path / "template.py").write_text("{{ this is no python }}}")
    (tmp_path / "binary.py").write_bytes(b"\x00\x01")
    assert list(prose(tmp_path)) == []


def test_nothing_is_run_and_nothing_is_warned_of(tmp_path, recwarn):
    (tmp_path / "loud.py").write_text('"""Words with an escape."""\nraise SystemExit("\\d")')
    assert documentation_in(tmp_path / "loud.py") == ["Words with an escape."]
    assert not recwarn.list


def test_a_documentation_string_ends_where_prose_does():
    assert running_text("Words,\n    >>> code") == "Words,"
    assert running_text("name(args) -> what") == ""
    assert is_prose("Return the sum, or nothing.")
    assert not is_prose("a[0] = {1: 2}")
    assert not is_prose("")


def test_this_installation_has_enough_and_gives_the_same_twice():
    once = list(prose(library()))
    assert sum(len(text) > 64 * 5 for text in once) > 488
    assert list(prose(library() / "asyncio")) == list(prose(library() / "asyncio"))
