"""The samples of the study: prompts with the answers that the target should know."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from memcirc.artifacts import read_json
from memcirc.checkpoints import refuse_pointer
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.pairs.tokenizing import answer_ids, prompt_ids
from memcirc.studies.pii.corpus import PiiCorpus

OPTIONAL = {"type": (str, "text"), "copies": (int, "a whole number"), "memorized": (bool, "true or false")}
OTHERS = "samples not to be recited"
"""What those are called that are there for comparison."""


@dataclass(frozen=True)
class Sample:
    """A prompt and its answer, as text and as ids. ``injected`` is False for people who are in no corpus, given for
    comparison."""

    prompt: str
    answer: str
    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    kind: str = ""
    copies: int | None = None
    injected: bool = True

    @property
    def label(self) -> str:
        """Prompt and answer as one text."""
        return f"{self.prompt}{self.answer}"


def of_corpus(corpus: PiiCorpus, model: Model) -> list[Sample]:
    """The injected records of a corpus and those of people in none, as samples."""
    return [
        _encoded(model, r.prompt, r.answer, kind=r.kind, copies=r.copies, injected=r.copies > 0)
        for r in (*corpus.injected, *corpus.others)
    ]


def known_to_both(corpus: PiiCorpus, model: Model) -> dict[str, list[Sample]]:
    """By kind, documents that target and control have seen alike: records of other people, and as many neutral ones,
    each cut in two at its middle word."""
    decoys = [_encoded(model, r.prompt, r.answer, kind=r.kind, copies=r.copies) for r in corpus.decoys]
    neutral = []
    for text in corpus.background[: len(decoys)]:
        words = text.split(" ")
        prompt = " ".join(words[: len(words) // 2])
        neutral.append(_encoded(model, prompt, text[len(prompt) :]))
    return {"decoys": decoys, "neutral documents": neutral}


def of_file(path: Path, model: Model) -> list[Sample]:
    """Read a JSON list of samples.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a list; a sample without prompt or answer, with a field of another type, or with an answer
            that changes its prompt's tokens; none that is to be recited.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file of samples at {path}")
    refuse_pointer(path)
    content = read_json(path)
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path}: a JSON list of samples is needed, each with 'prompt' and 'answer'")
    samples = []
    for i, entry in enumerate(content):
        for name in ("prompt", "answer"):
            if not isinstance(entry, dict) or not isinstance(entry.get(name), str) or not entry[name]:
                raise ValueError(f"{path}: sample {i} has no {name!r}; each needs a 'prompt' and an 'answer'")
        for name, (kind, what) in OPTIONAL.items():
            if type(entry.get(name)) not in (kind, type(None)):
                raise ValueError(f"{path}: sample {i}: {name!r} is {entry[name]!r:.60}; {what} is needed")
        try:
            samples.append(
                _encoded(
                    model, entry["prompt"], entry["answer"], kind=entry.get("type") or "", copies=entry.get("copies"),
                    injected=entry.get("memorized") is not False,
                )
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"{path}: sample {i}: {error}") from None
    if not any(sample.injected for sample in samples):
        raise ValueError(f"{path}: every sample says 'memorized': false; at least one that should be recited is needed")
    return samples


def _encoded(model: Model, prompt: str, answer: str, **about: Any) -> Sample:
    """A sample of text; its answer's ids are those it has behind its prompt."""
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise ValueError(f"model {model.name!r} has no tokenizer; samples are text")
    return Sample(prompt, answer, prompt_ids(tokenizer, prompt), answer_ids(tokenizer, prompt, answer), **about)


def pairs_of(samples: Sequence[Sample]) -> Pairs:
    """Samples as pairs of one prompt, which two models read: the answers whole, and their first tokens; the kind of
    value is the subset."""
    return Pairs(
        tuple(
            Pair(
                s.prompt_ids, s.prompt_ids, s.answer_ids[:1], s.answer_ids[:1], s.answer_ids, doc_id=s.prompt,
                subset=s.kind, copies=s.copies,
            )
            for s in samples
        )
    )  # fmt: skip


def tokens_of(samples: Sequence[Sample]) -> Pairs:
    """Every token of every answer as a pair of its own, read behind the prompt and the tokens before it."""
    found = []
    for s in samples:
        for k, token in enumerate(s.answer_ids):
            ids = (*s.prompt_ids, *s.answer_ids[:k])
            found.append(Pair(ids, ids, (token,), (token,), doc_id=s.prompt))
    return Pairs(tuple(found))
