"""From texts to what a model recites of them, in one call: windows, their scores, and counts by threshold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from memcirc.config import check_count, shortened
from memcirc.corpus.tokenizing import ids_of
from memcirc.corpus.windows import cut
from memcirc.memorization.scores import Progress, score
from memcirc.models import Model
from memcirc.showing import Shown

THRESHOLDS = (0.5, 0.75, 0.9, 1.0)
MEASURES = ("exact", "prefix_match", "memorization_score", "bleu4", "edit_similarity", "logprob")


@dataclass(frozen=True, eq=False)
class Scan(Shown):
    """What a model recites of some texts.

    ``table``: a row a window with ``text`` (its number), ``offset`` (in tokens), ``prompt``, ``truth`` and
    ``completion`` as text, and the scores (:func:`memcirc.score`); ``too_short`` counts texts without a whole window.
    """

    table: pa.Table
    model: str
    prompt_tokens: int
    generation_tokens: int
    n_texts: int
    too_short: int

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        exact = sum(self.table["exact"].to_pylist())
        return f"Scan({len(self)} windows of {self.n_texts} texts, {exact} recited word for word by {self.model})"

    def counts(self, measure: str = "memorization_score") -> dict[float, int]:
        """How many windows reach each of ``THRESHOLDS``.

        Args:
            measure: a score of 0 to 1: ``memorization_score``, ``bleu4`` or ``edit_similarity``.

        Raises:
            ValueError: another one.
        """
        accepted = ("memorization_score", "bleu4", "edit_similarity")
        if measure not in accepted:
            raise ValueError(f"measure {measure!r} is not known; accepted: {', '.join(accepted)}")
        values = self.table[measure].to_numpy()
        return {threshold: int((values >= threshold).sum()) for threshold in THRESHOLDS}

    def recited(self, threshold: float = 1.0) -> list[dict[str, Any]]:
        """The windows of at least that memorization score, the highest first, as rows of plain values."""
        reached = self.table["memorization_score"].to_numpy() >= threshold
        return self.table.filter(pa.array(reached)).sort_by([("memorization_score", "descending")]).to_pylist()

    def by_text(self) -> list[dict[str, Any]]:
        """Of each text that has windows: how many, how many are recited word for word, and the mean score."""
        rows = self.table.select(["text", "exact", "memorization_score"]).group_by("text", use_threads=False)
        found = rows.aggregate([("exact", "count"), ("exact", "sum"), ("memorization_score", "mean")])
        found = found.select(["text", "exact_count", "exact_sum", "memorization_score_mean"])
        return list(found.rename_columns(["text", "windows", "exact", "mean_score"]).to_pylist())

    def to_pandas(self) -> Any:
        """The table as a pandas frame; ImportError without pandas."""
        return self.table.to_pandas()


def scan(
    model: Model,
    texts: str | Sequence[str],
    *,
    prompt_tokens: int = 32,
    generation_tokens: int = 32,
    every_window: bool = True,
    bos: bool = False,
    batch_size: int = 64,
    progress: Progress = iter,
) -> Scan:
    """Score texts for memorization: does the model, given the beginning of a window, go on as the text does?

    Args:
        texts: one, or several.
        prompt_tokens, generation_tokens: of a window; a text's rest that does not fill one is left out.
        every_window: all of a text's windows that do not overlap, not the first alone.
        bos: begin each window with the tokenizer's BOS token, which counts among its prompt's.
        batch_size: windows in one forward pass.
        progress: wraps the iteration over batches, as tqdm does.

    Raises:
        ValueError: a model without a tokenizer (or, with ``bos``, without a BOS token), what is no text, no text as
            long as a window, windows too long for the model.
    """
    check_count("prompt_tokens", prompt_tokens)
    check_count("generation_tokens", generation_tokens)
    given = [texts] if isinstance(texts, str) else list(texts)
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise ValueError(f"text {number} is {shortened(text)}; a string is needed")
    if model.tokenizer is None:
        raise ValueError(f"model {model.name!r} has no tokenizer, by which texts become ids; memcirc.score takes ids")
    start = model.tokenizer.bos_token_id if bos else None
    if bos and start is None:
        raise ValueError("bos is asked for, but the tokenizer has no BOS token")
    width = prompt_tokens + generation_tokens
    windows = list(_windows(ids_of(model.tokenizer, given), width, every_window, start))
    if not windows:
        raise ValueError(f"none of {len(given)} texts has {width} tokens; fewer of prompt_tokens, generation_tokens?")
    numbers, offsets, rows = zip(*windows, strict=True)
    scored = score(model, np.array(rows), prompt_tokens, generation_tokens, batch_size, progress=progress)
    columns = {
        "text": pa.array(numbers, pa.int32()),
        "offset": pa.array(offsets, pa.int64()),
        "prompt": [model.decode(row[:prompt_tokens]) for row in rows],
        "truth": [model.decode(row[prompt_tokens:]) for row in rows],
        "completion": [model.decode(row) for row in scored["completion_ids"].to_pylist()],
        **{name: scored[name] for name in MEASURES},
    }
    missing = len(given) - len(set(numbers))
    return Scan(pa.table(columns), model.name, prompt_tokens, generation_tokens, len(given), missing)


def _windows(
    ids: Sequence[Sequence[int]], width: int, every: bool, bos: int | None
) -> Iterator[tuple[int, int, list[int]]]:
    """Number of the text, offset in it and tokens of each window."""
    for number, tokens in enumerate(ids):
        for offset, window in cut(tokens, width, every, bos):
            yield number, offset, window
