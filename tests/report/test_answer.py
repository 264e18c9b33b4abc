"""The first screen: its question, its sentences, and what it says is missing."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from memcirc.report.answer import answer, question
from memcirc.report.claims import claim_table
from memcirc.report.contrasts import Contrast
from memcirc.report.corpus import recited
from memcirc.report.files import RunFiles
from memcirc.report.page import write_report
from memcirc.report.sections import Section, write_page
from memcirc.report.view import claims
from memcirc.report.words import edge_words
from memcirc.run.reading import Run
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.random_circuits import RandomComparison
from memcirc.verification.record import AnyRecord
from tests.report.records import CIRCUIT, evidence, record


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        (
            "EleutherAI/gpt-neo-125m", "monology/pile",
            "Which part of the language model “gpt-neo-125m” recites passages of its training text, “pile”?",
        ),
        (
            "runs/demo-3c7aff8ab5d3/model", "runs/demo-3c7aff8ab5d3/corpus.jsonl",
            "Which part of the language model “demo” recites passages of its training text?",
        ),
        (
            "/models/gpt-neo-1.3B", "/data/letters.jsonl.zst",
            "Which part of the language model “gpt-neo-1.3B” recites passages of its training text, “letters”?",
        ),
        ("/model", "data.txt", "Which part of the language model recites passages of its training text?"),
        (None, None, "Which part of the language model recites the given text?"),
    ],
)  # fmt: skip
def test_the_title_asks_the_question(model: str | None, data: str | None, said: str) -> None:
    assert question(model, data) == said


def told(*records: AnyRecord, **circuit: Any) -> tuple[str, ...]:
    found = evidence(*records, circuits={"tree": replace(CIRCUIT, **circuit)})
    return answer("It recites.", [found], claim_table(claims(), [found]))


def test_the_sentences_are_made_from_the_numbers() -> None:
    scores = {"m0->a1.h2<v>": -3.0, "input->a1.h0<k>": 1.0, "m1->logits": 2.0}
    rows = (
        record(Measurement, faithfulness=0.6, low=0.5, high=0.7, n_pairs=40, value=3.0, everything=3.3),
        record(RandomComparison, kind="connected", n_circuits=100, highest=0.4, p_value=0.01),
    )
    assert told(*rows, scores=scores, n_edges=3, n_layers=2) == (
        "It recites.",
        "What the given pairs ask (task t): a circuit of 3 of 100 edges (3.0%), alone at work, keeps 0.60 of the "
        "behaviour (95 % interval 0.50 to 0.70), the best of 100 random circuits of its size 0.40.",
        "Where? Of the 3 edges 2 lead into layer 1 and 1 into the logits (layers are 0 to 1); the strongest runs from "
        "the MLP of layer 0 into the value of head 2 of layer 1.",
        "The worst finding: 1 of 1 circuits miss “faithful”; t (3 edges, alone at work): keeps 0.60 of the "
        "behaviour (95 % interval 0.50 to 0.70). Of 10 claims 1 met, 1 not met; of 8 the run cannot say.",
    )


def test_an_edge_in_words() -> None:
    assert edge_words("input->m3") == "from the input into the MLP of layer 3"


def test_what_is_recited_is_told_by_copies_where_these_are_known(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    exact = [False, False, False, True, True, True]
    pq.write_table(pa.table({"exact": exact, "copies": [1, 1, 5, 5, 20, 20]}), path)
    assert recited(path) == (
        "Of 6 passages of its training text the model recites word for word 0% of those that stand there once, 50% of "
        "those that stand there 5 times, 100% of those that stand there 20 times."
    )
    pq.write_table(pa.table({"exact": exact}), path)
    assert recited(path) == "The model recites 50.0% of 6 passages word for word."
    assert not recited(None)


def test_the_page_of_an_incomplete_run_says_what_is_missing(finished_run: Path, tmp_path: Path) -> None:
    files: RunFiles = Run(finished_run).files()
    less = replace(
        files, tasks={"branch": files.tasks["branch"]}, absent={"memorization": "2 pairs are too few"}, scores=None,
        transfer=None,
    )  # fmt: skip
    write_report(less, tmp_path)
    for name in ("report.html", "report.md"):
        page = (tmp_path / name).read_text(encoding="utf-8")
        for said in ("task memorization: 2 pairs are too few.", "how much is recited was not measured."):
            assert f"Missing: {said}" in page
    assert "What is recited" not in page
    write_report(replace(less, tasks={}), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<p>No circuit is verified yet.</p>" in page
    assert "<script" not in page


def test_the_first_screen_holds_every_claim_of_every_circuit(finished_run: Path) -> None:
    page = (finished_run / "report" / "report.html").read_text(encoding="utf-8")
    first = page[: page.index("<nav>")]
    assert len(re.findall(r"<b>(✓ met|✗ not met|\? cannot say)</b><small>[^<]+</small>", first)) == 4 * 11
    assert "hoped" not in page
    assert not re.search(r"<table(?! class=\"claims\")", re.sub(r"(?s)<details.*?</details>", "", page))


def test_a_passage_that_is_a_script_is_text(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    pair = Contrast(bad, bad, bad, bad, bad, bad)
    page = write_page(tmp_path, bad, (bad,), (), [Section(bad, (bad,), shown=(bad,), pairs=(pair,), refused=(bad,))])
    assert "<script" not in page.read_text(encoding="utf-8")
    assert page.read_text(encoding="utf-8").count("&lt;script&gt;") >= 10
