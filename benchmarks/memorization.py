"""Scores and divergence points against transformers' ``generate``, and neighbours among 20,000 x 20,000 passages.

python -m benchmarks.memorization [--shape gpt2-small] [--repeats 1] [--peer-repeats 1] [--windows 32]

Of another shape the scores alone.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import GenerationConfig

from benchmarks.cases import model_of
from benchmarks.timing import Row, interleaved, options, peak_growth, print_table, report, result_name
from memcirc.demo import ensure
from memcirc.memorization.bleu import bleu4
from memcirc.memorization.config import LEVELS
from memcirc.memorization.divergence import divergence_points
from memcirc.memorization.generation import greedy
from memcirc.memorization.scores import score
from memcirc.models import Model, load_model
from memcirc.pairs.similarity import most_similar_unused

PEER_BATCH = 16
MIXES = (0.0, 0.5, 1.0)
TARGETS = {
    "gpt2-small": {"exact": 3.0, "logprob": 2.8, "full": 2.5},
    "embedded": {"exact": 6.0, "logprob": 5.0, "full": 2.5},
}


def generate(model: Model, prompts: np.ndarray, n_tokens: int) -> np.ndarray:
    """transformers' greedy decoding of exactly that many tokens, in batches of :data:`PEER_BATCH`."""
    assert model.hf is not None
    model.hf.generation_config.eos_token_id = None
    settings = GenerationConfig(max_new_tokens=n_tokens, do_sample=False, pad_token_id=0, eos_token_id=None)
    said = []
    for start in range(0, len(prompts), PEER_BATCH):
        ids = torch.from_numpy(prompts[start : start + PEER_BATCH])
        said.append(model.hf.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings))
    return torch.cat(said)[:, prompts.shape[1] :].numpy()


def windows(model: Model, n: int, prompt: int, completion: int, memorized: float) -> np.ndarray:
    """Random prompts; that share of them with what the model says behind them, the others with random tokens."""
    rows = np.random.default_rng(0).integers(0, model.d_vocab, (n, prompt + completion))
    recited = rows[: round(n * memorized)]
    if len(recited):
        recited[:, prompt:] = greedy(model, torch.from_numpy(recited[:, :prompt]), completion).numpy()
    return np.random.default_rng(1).permutation(rows)


def scoring(model: Model, name: str, n: int, prompt: int, completion: int, repeats: int, peers: int) -> list[Row]:
    """Each level of scores for each mix; the peer decodes the completions and no more."""
    rows = []
    for memorized in MIXES:
        ids = windows(model, n, prompt, completion, memorized)
        calls: dict[str, Callable[[], Any]] = {
            level: lambda level=level, ids=ids: score(model, ids, prompt, completion, level=level) for level in LEVELS
        }
        calls["full16"] = lambda ids=ids: score(model, ids, prompt, completion, batch_size=PEER_BATCH)
        calls["peer"] = lambda ids=ids: generate(model, ids[:, :prompt], completion)
        taken = interleaved(calls, {key: peers if key == "peer" else repeats for key in calls}, warm=False)
        mix = f"{name}, {memorized:.0%} memorized"
        for level in LEVELS:
            target = TARGETS.get(name, {}).get(level) if memorized == 1 else None
            at_most = level in ("completion", "full") and memorized == 0 and name in TARGETS
            rows.append(
                Row(f"{mix}, {level}", taken[level], taken["peer"], "generate", 1.05 if at_most else target, at_most)
            )
        rows.append(Row(f"{mix}, full in batches of {PEER_BATCH}", taken["full16"], taken["peer"], "generate"))
        print_table(mix, rows[-5:])
    return rows


def literal_points(model: Model, ids: np.ndarray, prompt: int, drop: float) -> list[tuple[int, tuple[int, ...]] | None]:
    """The definition: one ``generate`` per context length, over all passages that are still searched."""
    found: list[tuple[int, tuple[int, ...]] | None] = [None] * len(ids)
    before, open_rows = np.ones(len(ids)), np.arange(len(ids))
    for length in range(prompt, 0, -1):
        said = generate(model, ids[open_rows, :length], ids.shape[1] - length)
        keep = []
        for row, tail in zip(open_rows.tolist(), said, strict=True):
            after = bleu4(ids[row, length:].tolist(), tail.tolist())
            if before[row] > 0 and (before[row] - after) / before[row] > drop and tail[0] != ids[row, length]:
                found[row] = (length, tuple(tail.tolist()))
            else:
                keep.append(row)
            before[row] = after
        open_rows = np.array(keep, dtype=np.int64)
        if not len(open_rows):
            break
    return found


def divergence(model: Model, corpus_windows: np.ndarray, prompt: int, repeats: int) -> Row:
    """On the embedded model's own memorized windows; the points must be the same."""
    table = score(model, corpus_windows, prompt, corpus_windows.shape[1] - prompt)
    ids = corpus_windows[table["bleu4"].to_numpy() >= 0.75][:96]
    ours: list[Any] = []
    literal: list[Any] = []
    taken = interleaved(
        {
            "ours": lambda: ours.append(divergence_points(model, ids, prompt, ids.shape[1] - prompt)),
            "peer": lambda: literal.append(literal_points(model, ids, prompt, 0.3)),
        },
        {"ours": repeats, "peer": 1},
    )
    points = [None if point is None else (point.length, point.model_continuation) for point in ours[-1]]
    assert points == literal[-1], "the shortcut and the literal loop disagree"
    return Row(f"divergence points of {len(ids)} passages", taken["ours"], taken["peer"], "generate per length", 8.0)


def neighbours(n: int = 20_000, width: int = 768) -> dict[str, float]:
    """Seconds and bytes for the most similar unused of n passages, for each of n; uncorrelated, and around few hubs."""
    found = {}
    for name, hubs in (("uncorrelated", 0), ("few hubs", 5)):
        rng = np.random.default_rng(0)
        x, y = (rng.standard_normal((n, width), dtype=np.float32) for _ in range(2))
        if hubs:
            x += 20 * rng.standard_normal((hubs, width), dtype=np.float32)[rng.integers(0, hubs, n)]
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        start = time.perf_counter()
        grown = peak_growth(lambda x=x, y=y: sum(1 for _ in most_similar_unused(lambda r, c: x[r] @ y[c].T, n, n)))
        found[f"{name}, seconds"] = time.perf_counter() - start
        found[f"{name}, bytes"] = grown
    return found


def main() -> None:
    parser = options(__doc__, peer="transformers", repeats=1, peer_repeats=1)
    parser.add_argument("--windows", type=int, default=32)
    chosen = parser.parse_args()
    rows = scoring(model_of(chosen.shape), chosen.shape, chosen.windows, 50, 50, chosen.repeats, chosen.peer_repeats)
    title = f"Scores of {chosen.windows} windows of 100 tokens, {chosen.shape}"
    if chosen.shape not in TARGETS:
        report(result_name("memorization", chosen.shape), title, rows, shape=chosen.shape, windows=chosen.windows)
        return
    demo = ensure(Path("runs/cache"))
    embedded = load_model(str(demo.model_dir), device="cpu")
    n_tokens = demo.prompt_tokens + demo.generation_tokens
    rows += scoring(
        embedded, "embedded", 8 * chosen.windows, demo.prompt_tokens, demo.generation_tokens,
        chosen.repeats, chosen.peer_repeats,
    )  # fmt: skip
    texts = [json.loads(line)["text"] for line in demo.corpus_path.read_text(encoding="utf-8").splitlines()]
    text = embedded.tokenizer(list(dict.fromkeys(texts)), add_special_tokens=False)["input_ids"]
    own = np.array([ids[:n_tokens] for ids in text if len(ids) >= n_tokens])
    rows.append(divergence(embedded, own, demo.prompt_tokens, chosen.repeats))
    near = neighbours()
    print("20,000 x 20,000 neighbours (target: 60 s, 2 GB): " + ", ".join(f"{k} {v:.3g}" for k, v in near.items()))
    title += ", and of more by the embedded model"
    report("memorization", title, rows, shape=chosen.shape, windows=chosen.windows, neighbours=near)


if __name__ == "__main__":
    main()
