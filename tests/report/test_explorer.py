"""Circuits to look into: what a sheet shows at each size, and that it is told in words without a script."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from memcirc.artifacts import write_json
from memcirc.report.circuits import FoundCircuit, found_circuit
from memcirc.report.explorer import Sheet, sheets_of
from memcirc.report.sections import Section, write_page
from memcirc.verification.curves import Curve
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.stability import Stability
from tests.report.records import CIRCUIT, evidence, record

RANKING = {"m0->logits": -3.0, "input->m0": 2.0, "input->a0.h0<q>": 1.0, "input->logits": 0.5}
REFINED = replace(CIRCUIT, n_edges=2, scores={"m0->logits": -3.0, "input->a0.h0<q>": 1.0}, ranking=RANKING)


def sheet(circuit: FoundCircuit = REFINED, again: Mapping[str, float] | None = None) -> Sheet:
    curve = record(
        Curve, sizes=(0, 1, 3, 4, 9), faithfulness=(0.0, 0.5, 0.8, 0.9, 1.0), low=(0.0, 0.4, 0.7, 0.8, 1.0),
        high=(0.0, 0.6, 0.9, 1.0, 1.0), random_mean=(0.0, 0.1, 0.1, 0.2, 1.0), mean_ratio=(), smallest={},
    )  # fmt: skip
    other = replace(curve, way=replace(curve.way, reverse=True), sizes=(2,))
    found = [record(Measurement, faithfulness=0.7), record(Stability, found_again=again or {})]
    (made,) = sheets_of(evidence(*found, curve, other, circuits={"tree": circuit}))
    return made


def test_the_sizes_are_those_that_were_measured_with_the_circuit_among_them() -> None:
    stops = sheet().stops
    assert [(stop.n, stop.found) for stop in stops] == [(1, False), (2, True), (3, False), (4, False)]
    assert stops[0].text == (
        "The first 1 edge of the ranking: keeps 0.50 of the behaviour (95 % interval 0.40 to 0.60); random circuits of "
        "that size 0.10"
    )
    assert stops[1].text == "The circuit, 2 edges: keeps 0.70 of the behaviour"
    assert sheet().start == 1


def test_edges_know_their_place_in_the_ranking_and_whether_the_circuit_has_them() -> None:
    edges = {edge.name: edge for edge in sheet().edges}
    assert {name: (edge.rank, edge.inside, edge.kind) for name, edge in edges.items()} == {
        "m0->logits": (1, True, "logits"), "input->m0": (2, False, "m"), "input->a0.h0<q>": (3, True, "q"),
        "input->logits": (4, False, "logits"),
    }  # fmt: skip
    assert edges["m0->logits"].title == "m0->logits: from the MLP of layer 0 into the logits, score -3"
    again = {edge.name: edge for edge in sheet(again={"m0->logits": 0.75}).edges}
    assert again["m0->logits"].title.endswith("score -3; 75 % of other draws of documents find it too")
    assert again["input->m0"].title == edges["input->m0"].title
    assert [edge.name for edge in sheet().edges] == list(reversed(RANKING))


def test_a_circuit_without_a_ranking_is_shown_at_its_own_size() -> None:
    made = sheet(replace(REFINED, ranking={}))
    assert [stop.found for stop in made.stops] == [True]
    assert {edge.name for edge in made.edges} == set(REFINED.scores)


def test_the_ranking_of_a_file_is_by_size_where_its_circuits_are(tmp_path: Path) -> None:
    told = {
        "mode": "tree", "ablation": "resample", "reverse": False, "n_edges": 1, "target": 0.85, "target_met": True,
        "faithfulness": 0.9, "monotone": True,
    }  # fmt: skip
    edges = {name: {"score": score, "in_graph": score == -3.0} for name, score in reversed(RANKING.items())}
    for selection, ranking in (("top", list(RANKING)), ("greedy", [])):
        memcirc = {**told, "selection": selection, "by": "abs"}
        write_json(tmp_path / "c.json", {"memcirc": memcirc, "cfg": {"n_layers": 1, "n_heads": 1}, "edges": edges})
        assert list(found_circuit(tmp_path / "c.json").ranking) == ranking


def test_without_the_script_the_circuit_itself_is_shown_and_told(tmp_path: Path) -> None:
    page = write_page(tmp_path, "t", (), (), [Section("s", sheets=(sheet(),))]).read_text(encoding="utf-8")
    paths = re.findall(r'<path [^>]*class="(\w+)( off)?"[^>]*?( data-inside)?><title>([^<]+)</title>', page)
    assert len(paths) == 4
    assert all(bool(off) != bool(inside) for _, off, inside, _ in paths)
    assert "<output>The circuit, 2 edges: keeps 0.70 of the behaviour</output>" in page
    (stops,) = re.findall(r"data-stops='([^']+)'", page)
    assert [stop["n"] for stop in json.loads(stops)] == [1, 2, 3, 4]
    assert page.count("<script>") == 1


def test_a_page_without_circuits_has_no_script(tmp_path: Path) -> None:
    assert "<script" not in write_page(tmp_path, "t", (), (), [Section("s")]).read_text(encoding="utf-8")
