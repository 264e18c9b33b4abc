"""The faults that mutation testing puts in: each kind on one line, and a sample that is the same every time."""

import ast
from pathlib import Path

import pytest

from tests.mutation.__main__ import TESTS
from tests.mutation.mutants import ROOMS, ROOT, files_of, mutants_of, sample


def faults(tmp_path: Path, line: str) -> list[str]:
    """The line with each of its faults."""
    path = tmp_path / "module.py"
    path.write_text(line + "\n", encoding="utf-8")
    return [mutant.source.decode().rstrip("\n") for mutant in mutants_of(path)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a < b", ["(a <= b)"]),
        ("a is not b", ["(a is b)"]),
        ("a + b", ["(a - b)"]),
        ("a and b", ["(a or b)"]),
        ("not a", ["(a)"]),
        ("-a", ["(a)"]),
        ("f(True)", ["f(False)"]),
        ("f(3)", ["f((4))"]),
        ("a += b", ["a -= b"]),
        ("a if b else c", ["(c if b else a)"]),
        ("a[b:c]", ["a[:c]", "a[b:]"]),
        ("min(a)", ["max(a)"]),
        ("a.argmax()", ["a.argmin()"]),
        ("f(a, b=c)", ["f(a)"]),
        ("raise a", ["pass"]),
    ],
)
def test_each_kind_of_fault_stands_in_its_place(tmp_path: Path, line: str, expected: list[str]) -> None:
    assert faults(tmp_path, line) == expected


@pytest.mark.parametrize(
    "line",
    ['"""Words 3 < 4."""', "a: int | None", "def f(a: 'b < 3') -> 'a + b': ...", "Alias = Thing | None",
     "raise ValueError", "f'{a + b}'", "@g(3)\ndef f(): ...", "assert a, 3"],
)  # fmt: skip
def test_types_decorators_and_messages_are_left_alone(tmp_path: Path, line: str) -> None:
    assert faults(tmp_path, line) == (["pass"] if line.startswith("raise") else [])


def test_a_fault_behind_letters_of_several_bytes_stands_where_it_should(tmp_path: Path) -> None:
    assert faults(tmp_path, "f('äöü', a + b)") == ["f('äöü', (a - b))"]


def test_a_fault_knows_the_function_around_it(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("a < b\n\n@g\ndef f():\n    return a\n", encoding="utf-8")
    assert [(mutant.line, mutant.function) for mutant in mutants_of(path)] == [(1, 0), (5, 3)]


def test_a_sample_is_of_every_room_and_the_same_every_time() -> None:
    first, again, other = (sample(60, seed) for seed in (0, 0, 1))
    assert [str(mutant) for mutant in first] == [str(mutant) for mutant in again] != [str(mutant) for mutant in other]
    assert {mutant.room for mutant in first} == set(ROOMS) == set(TESTS)
    assert 57 <= len(first) <= 63
    for mutant in first:
        ast.parse(mutant.source)


def test_every_room_has_files_and_tests() -> None:
    for room, places in TESTS.items():
        assert files_of(room)
        assert all((ROOT / place).exists() for place in places)
