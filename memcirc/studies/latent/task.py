"""What the study needs of a model with latent thoughts, and the small task with a known answer.

The task: a digit x and six operations, each ``+d`` or ``d-`` (d minus what there is), all modulo 10. The model may
think for six latent steps and then says the last result. Clean and corrupt questions differ in one operation, so that
it is known from which step on their thoughts differ.
"""

import importlib.util
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from memcirc.models import Model
from memcirc.patching.programs import Feed, Generate, Latent, Program, ProgramSegment, Tokens

OPERATIONS = 6
DIGITS = 10
BOT, EOT = 30, 31
VOCABULARY = 32
SPELLED = (
    [str(d) for d in range(DIGITS)] + [f"+{d}" for d in range(DIGITS)] + [f"{d}-" for d in range(DIGITS)]
    + ["<think>", "</think>"]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class LatentTask:
    """A model with pairs of questions; what an adapter returns.

    Args:
        model: a loaded model (:func:`memcirc.load_model`).
        feed: what turns a hidden state (after the final norm) into the next latent input.
        steps: latent steps.
        clean, corrupt: questions as ids, up to and with the token before the first latent step, all of one length.
        after: ids between the last latent step and the answer.
        answers, corrupt_answers: ids, all of one length.
        groups: for each pair what it belongs to (here: the step from which the thoughts differ); any labels.
    """

    model: Model
    feed: Feed
    steps: int
    clean: Sequence[Sequence[int]]
    corrupt: Sequence[Sequence[int]]
    after: Sequence[int]
    answers: Sequence[Sequence[int]]
    corrupt_answers: Sequence[Sequence[int]]
    groups: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not self.clean:
            raise ValueError("there are no questions; at least one pair is needed")
        lengths = {len(q) for q in (*self.clean, *self.corrupt)}
        if len(lengths) != 1:
            raise ValueError(
                f"questions of {', '.join(map(str, sorted(lengths)))} tokens; all must have the same length"
            )
        if len({len(a) for a in (*self.answers, *self.corrupt_answers)}) != 1:
            raise ValueError("answers must all have the same number of tokens")
        if not len(self.clean) == len(self.corrupt) == len(self.answers) == len(self.corrupt_answers):
            raise ValueError("clean and corrupt questions and their answers go in pairs; their numbers differ")

    def program(self, questions: Sequence[Sequence[int]], steps: int | None = None) -> Program:
        """The program on some questions, with another number of latent steps if asked."""
        device = self.model.device
        steps = self.steps if steps is None else steps
        ids = torch.tensor([list(q) for q in questions], device=device)
        segments: list[ProgramSegment] = [Tokens(ids)]
        segments += [Latent(steps, self.feed)] if steps else []
        if self.after:
            segments.append(Tokens(torch.tensor([list(self.after)], device=device).expand(len(ids), -1)))
        return Program((*segments, Generate(len(self.answers[0]))))


def adapted(adapter: str) -> LatentTask:
    """The task that a user's ``FILE.py:FUNCTION`` returns.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no Python file, no such function in it, or it returns something else.
    """
    path, _, name = adapter.rpartition(":")
    if not Path(path).is_file():
        raise FileNotFoundError(f"no adapter file at {path}")
    if Path(path).suffix != ".py":
        raise ValueError(f"adapter {adapter!r}: {path} is no .py file")
    spec = importlib.util.spec_from_file_location("memcirc_latent_adapter", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up what their annotations name
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise ValueError(f"{path} has no function {name!r}")
    task: Any = getattr(module, name)()
    if not isinstance(task, LatentTask):
        raise ValueError(f"{adapter} returned a {type(task).__name__}; a LatentTask is needed")
    check_read(task)
    return task


def check_read(task: LatentTask) -> None:
    """Raises ValueError for an id outside the model's vocabulary, or more positions than it reads."""
    given = (*task.clean, *task.corrupt, *task.answers, *task.corrupt_answers, task.after)
    outside = next((i for ids in given for i in ids if not 0 <= i < task.model.d_vocab), None)
    if outside is not None:
        raise ValueError(f"token id {outside} is outside the vocabulary 0..{task.model.d_vocab - 1}")
    needed = len(task.clean[0]) + task.steps + len(task.after) + len(task.answers[0]) - 1
    if needed > task.model.weights.n_ctx:
        raise ValueError(f"{needed} positions are needed; the model reads at most {task.model.weights.n_ctx}")


@dataclass(frozen=True)
class DigitQuestion:
    """A question as ids (x, the operations, BOT), with its results r_1 ... r_6."""

    ids: tuple[int, ...]
    results: tuple[int, ...]


def question(start: int, operations: Sequence[int]) -> DigitQuestion:
    """The question of a digit and operations (ids 10 + d for +d, 20 + d for d-), with its results."""
    results, value = [], start
    for operation in operations:
        d = operation % DIGITS
        value = (value + d if operation < 2 * DIGITS else d - value) % DIGITS
        results.append(value)
    return DigitQuestion((start, *operations, BOT), tuple(results))


def drawn(rng: random.Random) -> DigitQuestion:
    """A question drawn at random."""
    return question(rng.randrange(DIGITS), [rng.randrange(DIGITS, 3 * DIGITS) for _ in range(OPERATIONS)])


def drawn_pair(rng: random.Random, step: int) -> tuple[DigitQuestion, DigitQuestion]:
    """Two questions that differ in one operation, so that their results differ from ``step`` on (all of them: what
    follows is one-to-one)."""
    clean = drawn(rng)
    while True:
        operations = list(clean.ids[1:-1])
        operations[step] = rng.randrange(DIGITS, 3 * DIGITS)
        corrupt = question(clean.ids[0], operations)
        if corrupt.results[step] != clean.results[step]:
            return clean, corrupt


def small_task(model: Model, feed: Feed, n: int, seed: int) -> LatentTask:
    """``n`` pairs for each step from which their thoughts differ."""
    rng = random.Random(seed)
    pairs = [(step, *drawn_pair(rng, step)) for step in range(OPERATIONS) for _ in range(n)]
    return LatentTask(
        model=model,
        feed=feed,
        steps=OPERATIONS,
        clean=[c.ids for _, c, _ in pairs],
        corrupt=[k.ids for _, _, k in pairs],
        after=(EOT,),
        answers=[(c.results[-1],) for _, c, _ in pairs],
        corrupt_answers=[(k.results[-1],) for _, _, k in pairs],
        groups=[step for step, _, _ in pairs],
    )
