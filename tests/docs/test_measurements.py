"""What the benchmarks measured: every miss has its reason, and no reason outlives its miss."""

import json

from benchmarks.reasons import REASONS
from benchmarks.timing import RESULTS

MISSED = {
    row["work"]
    for path in RESULTS.glob("*.json")
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]
    if row.get("met") is False
}


def test_every_miss_has_a_reason() -> None:
    assert {work for work in MISSED if not work.startswith(tuple(REASONS))} == set()


def test_every_reason_is_that_of_a_miss() -> None:
    assert {beginning for beginning in REASONS if not any(work.startswith(beginning) for work in MISSED)} == set()
