"""What is of another type than a public function takes is named in one line. In a process of its own: within the tests
annotations are checked before any of our code runs."""

import subprocess
import sys
from pathlib import Path

import pytest

PREPARED = """
import memcirc
from memcirc import attribute, circuit_runner, find_minimal, patch_sweep, score, transfer, verify
from tests.models import random_pairs, small_model

model, pairs = small_model("gpt2"), random_pairs(3)
scores = attribute(model, pairs, "eap")
runner = circuit_runner(model, pairs, mode="tree")
some, ids = scores.top(3), [[1, 2, 3]]


def said(call):
    try:
        return repr(call())
    except ValueError as refusal:
        return str(refusal)
"""
MISTAKES = [
    ('scores.order(["abs"])', "selection by ['abs'] is not known; accepted: abs, signed"),
    ('verify(model, pairs, scores, mode="tree", circuit="input->logits")', "circuit 'input->logits' is no Circuit;"),
    ('verify(model, pairs, scores, mode="tree", circuit=["input->logits"])', "circuit ['input->logits'] is no Circuit"),
    ('verify(model, ["a"], some, mode="tree")', "pairs are a Pairs, as load_pairs reads and Pairs(items) makes one"),
    ('verify(model, pairs, some, mode="tree", directions="noising")', "direction 'noising' is not known; accepted:"),
    ('verify(model, pairs, some, mode="tree", directions=["noising"])', "direction 'noising' is not known"),
    ('verify(model, pairs, some, mode="tree", n_random="5")', "n_random '5': accepted is a valid integer"),
    ('verify(model, pairs, some, mode="tree", metric="speed")', "metric 'speed' is not known; accepted"),
    ("attribute(model, list(pairs))", "pairs are a Pairs, as load_pairs reads"),
    ('attribute(model, "pairs.json")', "pairs are a Pairs, as load_pairs reads"),
    ('attribute(model, pairs, steps="5")', "steps '5': accepted is a valid integer"),
    ("attribute(model, pairs, steps=2.5)", "steps 2.5: accepted is a valid integer"),
    ('attribute(model, pairs, ["eap"])', "method ['eap']: accepted is a valid string"),
    ('find_minimal(model, pairs, scores, mode="tree", metric=["logit_diff"])', "metric ['logit_diff'] is not known"),
    ('runner.ends(["logit_diff"])', "metric ['logit_diff'] is not known"),
    ('transfer(model, {"a": {"tree": "input->logits"}}, {"b": pairs}).refused', "'input->logits' is no Circuit"),
    ('score(model, ids, "2", 1)', "prompt_tokens is '2'; a whole number is needed"),
    ("score(model, ids, 2.0, 1)", "prompt_tokens is 2.0; a whole number is needed"),
    ('score(model, ids, 2, 1, level=["full"])', "level ['full'] of scores is not known"),
    ("patch_sweep(model, ids, ids, [1], [2], sites=[3])", "site 3 is neither a hook's name nor a Patch"),
]


@pytest.fixture(scope="module")
def answers() -> list[str]:
    program = PREPARED + "".join(f"print(said(lambda: {call}))\n" for call, _ in MISTAKES)
    root = Path(__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, encoding="utf-8", timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=[call for call, _ in MISTAKES])
def test_what_is_of_another_type_is_named(number: int, answers: list[str]) -> None:
    assert len(answers) == len(MISTAKES)
    assert MISTAKES[number][1] in answers[number]


MISUSED = """
import memcirc
from memcirc.models import Model
def use(model: Model, pairs: memcirc.Pairs) -> None:
    scores = memcirc.attribute(model, pairs, "eap", step=3)
    memcirc.find_minimal(model, pairs, scores, mode="tree", reverse="yes")
    memcirc.verify(model, pairs, scores, mode="tree", n_random="5")
    pairs.where(subsets="a")
"""


@pytest.mark.slow
def test_a_type_checker_sees_the_names_and_types_of_options_where_they_are_given(tmp_path: Path) -> None:
    file = tmp_path / "use.py"
    file.write_text(MISUSED, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", str(file)]
    ran = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, encoding="utf-8", timeout=600
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith(str(file)) and ": error: " in line]
    for line, said in zip(lines, ('"step"', '"reverse"', '"n_random"', '"subsets"'), strict=True):
        assert said in line
