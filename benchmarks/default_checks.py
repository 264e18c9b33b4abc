"""The checks that a verification makes by default, or all of them, one after the other: seconds of each, how many
circuits it runs on how many pairs, and the peak of memory.

python -m benchmarks.default_checks [--shape smollm2-135m] [--pairs 26] [--edges 7015] [--full]

Random weights, branch pairs of 40 tokens whose documents are their own, and random passages of 64 tokens; the circuit
is the first edges of a ranking by EAP on as many training pairs.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import numpy as np
from torch import Tensor

from benchmarks.cases import model_of, random_pairs
from benchmarks.timing import Row, report
from memcirc.attribution.attribute import attribute
from memcirc.engine.prepared import Prepared
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.verification.checks import CHECKS, DEFAULT_CHECKS
from memcirc.verification.passages import Passages
from memcirc.verification.verify import verify

LENGTH, PROMPT, COMPLETION = 40, 32, 32
SHAPE, LIMIT = "smollm2-135m", 180
"""The shape whose default checks should take no more seconds than that."""


def documents(pairs: Pairs, split: str) -> Pairs:
    """The pairs with documents of their own and one to four copies."""
    items = [replace(pair, doc_id=f"{split}-{i}", copies=1 + i % 4) for i, pair in enumerate(pairs)]
    return Pairs(tuple(items), {"split": split, "bos": False})


def passages(model: Model, n: int) -> Passages:
    """Random tokens of every kind."""
    ids = np.random.default_rng(0).integers(0, model.d_vocab, (5, n, PROMPT + COMPLETION))
    names = tuple(f"test-{i}" for i in range(n))
    return Passages(PROMPT, ids[0], np.ones(n, np.int64), names, ids[1], ids[2], seen=ids[3], near=ids[4])


@contextmanager
def circuits_run() -> Iterator[list[int]]:
    """A list that grows by the product of circuits and pairs, with each call that runs some."""
    counted: list[int] = []
    logits = Prepared.logits

    def counting(prepared: Prepared, kept: Tensor, answers_only: bool = False) -> Tensor:
        counted.append(len(kept) * len(prepared.pairs))
        return logits(prepared, kept, answers_only)

    with mock.patch.object(Prepared, "logits", counting):
        yield counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default=SHAPE)
    parser.add_argument("--pairs", type=int, default=26)
    parser.add_argument("--edges", type=int, default=7015)
    parser.add_argument("--full", action="store_true", help="all checks, as `memcirc verify --full` makes them")
    options = parser.parse_args()
    model = model_of(options.shape)
    train, test = (
        documents(random_pairs(options.pairs, LENGTH, True, model.d_vocab, seed), name)
        for seed, name in ((1, "train"), (2, "test"))
    )
    scores = attribute(model, train, "eap")
    text = passages(model, 24)
    rows, circuits = [], {}
    for check in CHECKS if options.full else DEFAULT_CHECKS:
        start = time.perf_counter()
        with circuits_run() as counted:
            verify(
                model, test, scores, mode="tree", circuit=scores.top(options.edges), checks=check, train=train,
                passages=text, thorough=options.full,
            )  # fmt: skip
        rows.append(Row(check, time.perf_counter() - start, None, ""))
        circuits[check] = sum(counted) / options.pairs
        print(f"{check:<14} {rows[-1].ours:8.1f} s {circuits[check]:8.0f} circuits", flush=True)
    whole = sum(row.ours for row in rows)
    limited = options.shape == SHAPE and not options.full
    rows.append(
        Row("all checks together", whole, LIMIT, f"{LIMIT} seconds", 1.0, True)
        if limited
        else Row("all checks together", whole, None, "")
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    title = (
        f"{'All' if options.full else 'Default'} checks, {options.shape}, {options.pairs} pairs, {options.edges} edges"
    )
    name = "all_checks" if options.full else "default_checks"
    name += "" if options.shape == SHAPE else f"-{options.shape}"
    report(name, title, rows, shape=options.shape, peak_gib=peak, circuits_of_all_pairs=circuits)
    print(f"{peak:.2f} GiB at most")


if __name__ == "__main__":
    main()
