"""Records in a notebook: their numbers, escaped, in HTML that brings its style and fetches nothing."""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from memcirc.attribution.scores import EdgeScores
from memcirc.circuit import Circuit
from memcirc.graph import Graph, GraphShape
from memcirc.memorization.scan import Scan
from memcirc.pairs.record import Pair, Pairs
from memcirc.patching.sweep import patch_sweep
from memcirc.report.shown import SHOWN, section_of
from memcirc.run.reading import Run
from memcirc.verification.result import Verification
from tests.models import random_pairs, small_model

GRAPH = Graph(GraphShape(2, 2, 2))
SCORES = EdgeScores(GRAPH, torch.arange(GRAPH.n_edges, dtype=torch.float64), {"method": "eap", "model": "m<b>"})
PAIR = Pair((1, 2), (1, 3), (4,), (5,), clean="a <b> & c", corrupt="a <b> & d", answers=(" e",), wrong_answers=(" f",))
SCAN = Scan(
    pa.table(
        {
            "text": [0, 0], "offset": [0, 8], "prompt": ["a", "b"], "truth": ["c", "d"], "completion": ["c", "<x>"],
            "exact": [True, False], "prefix_match": [4, 0], "memorization_score": [1.0, 0.6], "bleu4": [1.0, 0.0],
            "edit_similarity": [1.0, 0.5], "logprob": [-1.0, -9.0],
        }
    ),
    "m", 4, 4, 2, 1,
)  # fmt: skip


class Balanced(HTMLParser):
    """Opening and closing tags in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shown(record: Any) -> str:
    text: str = record._repr_html_()
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert not re.search(r"(src|href)=|<script|@import|url\(", text)
    assert text.count("<style>") == 1
    return html.unescape(re.sub(r"<(?!b>|x>)[^>]*>", "\n", text))


def test_scores_and_circuits_list_their_edges_in_words() -> None:
    strongest = GRAPH.edges[-1]
    text = shown(SCORES)
    assert f"Scores of {GRAPH.n_edges} edges" in text
    assert strongest in text
    assert f"{float(GRAPH.n_edges - 1):.3f}" in text
    circuit = Circuit.from_edges(["a0.h1->m0", "m0->logits"], method="eap")
    text = shown(circuit)
    assert "A circuit of 2 edges" in text
    assert "from head 1 of layer 0 into the MLP of layer 0" in text
    assert "All 2 edges" in text
    assert "A circuit of 0 edges" in shown(Circuit.from_edges([]))


def test_text_is_escaped_and_cut_at_its_beginning() -> None:
    raw = Pairs((PAIR,), {"model": "<i>"}, {"no answer": 2})._repr_html_()
    assert "a &lt;b&gt; &amp; c" in raw
    assert "<i>" not in raw
    long = Pairs(tuple(random_pairs(SHOWN + 3)))
    assert f"The first {SHOWN} of {SHOWN + 3} pairs" in shown(long)
    assert "Left out: 2 (no answer)." in shown(Pairs((PAIR,), {}, {"no answer": 2}))
    assert "0 pairs" in shown(Pairs(()))
    (row,) = section_of(Pairs((Pair((1,), (2,), (3,), (4,), clean="x" * 90 + "end", corrupt="y"),))).tables[0].rows
    assert row["clean"].startswith("...")
    assert row["clean"].endswith("end")


def test_a_verification_shows_the_pages_tables(finished_run: Path) -> None:
    verification = Run(finished_run).verification("branch")
    text = shown(verification)
    for row in verification.faithfulness:
        assert row.faithfulness is None or f"{row.faithfulness:.3f}" in text
    assert re.fullmatch(r"Verification\(.*faithfulness 16, .*\)", repr(verification))
    assert len(repr(verification)) <= 160 + len("Verification()")
    assert "Not measured (1)" in shown(Verification({"model": "m", "n_pairs": 1}, (), ("the reason",)))
    for record in (Run(finished_run).pairs("branch"), Run(finished_run).circuit("branch"), SCORES):
        assert "\n" not in repr(record)


def test_a_sweep_shows_what_moves_the_metric_most() -> None:
    sweep = patch_sweep(small_model("gpt2"), random_pairs(2), "resid_pre", metrics=["logit_diff"])
    text = shown(sweep)
    strongest = max(zip(np.abs(np.nan_to_num(sweep.effects())), sweep.patches, strict=True), key=lambda row: row[0])
    assert strongest[1].label in text
    assert f"logit_diff: {sweep.ends['logit_diff'][0]:.3f} in the base run" in text


def test_a_scan_shows_counts_and_the_best_windows() -> None:
    text = shown(SCAN)
    assert "What m recites of 2 texts" in text
    assert "1 text too short for one" in text
    assert "<x>" in text
    counts = section_of(SCAN).tables[0].rows
    assert [row["windows"] for row in counts] == [2, 1, 1, 1]


def test_what_is_no_record_has_no_section() -> None:
    with pytest.raises(TypeError, match="a int has no section of its own"):
        section_of(3)
