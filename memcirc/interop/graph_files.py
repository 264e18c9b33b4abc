"""Read back what ``graphml``, ``dot`` and ``csv`` exports hold: circuits, and scores as far as they are in the file."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from memcirc.circuit_file import CircuitFile, shape_of, width_of
from memcirc.graph import Graph, GraphShape

SPACE = "{http://graphml.graphdrawing.org/xmlns}"
COLUMNS = ("edge", "source", "destination", "score", "in_circuit")
_EDGE = re.compile(r'  "([^"]+)" -> "([^"]+)" \[label="([qkv]?)", .*score="([^"]+)"\];')


def read_graphml(path: Path) -> CircuitFile:
    """A circuit of ours in GraphML, with its edges' scores.

    Raises:
        ValueError: no GraphML, or without the graph's shape, as from another program.
    """
    text = path.read_text(encoding="utf-8")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError(f"{path}: GraphML with a document type of its own is not read")
    try:
        root = ElementTree.fromstring(text)
        told = {str(data.get("key")): data.text or "" for data in root.iterfind(f"{SPACE}graph/{SPACE}data")}
        cfg, origin = json.loads(told["cfg"]), json.loads(told["memcirc"])
        scores = {
            str(edge.get("id")): float(next(d.text or "" for d in edge if d.get("key") == "score"))
            for edge in root.iter(f"{SPACE}edge")
        }
        return _of_edges(scores, cfg, dict(origin))
    except (ElementTree.ParseError, KeyError, TypeError, AttributeError, StopIteration, ValueError) as error:
        raise ValueError(f"{path}: not a circuit in memcirc's GraphML ({error!r})") from None


def read_dot(path: Path) -> CircuitFile:
    """A circuit of ours in DOT, with its edges' scores.

    Raises:
        ValueError: no such file of ours.
    """
    text = path.read_text(encoding="utf-8")
    try:
        cfg = json.loads(re.findall(r"^  // cfg (.*)$", text, re.M)[0])
        rows = [_EDGE.fullmatch(line) for line in text.splitlines() if "->" in line]
        scores = {}
        for row in rows:
            if row is None:
                raise ValueError("an edge that is written otherwise")
            source, node, letter, score = row.groups()
            scores[f"{source}->{node}{f'<{letter}>' if letter else ''}"] = float(score)
        return _of_edges(scores, cfg, {})
    except (IndexError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path}: not a circuit in memcirc's DOT ({error!r})") from None


def _of_edges(scores: Mapping[str, float], cfg: Mapping[str, Any], origin: Mapping[str, Any]) -> CircuitFile:
    graph = Graph(shape_of(cfg))
    graph.indices(frozenset(scores))
    return CircuitFile(graph, frozenset(scores), scores, origin, width_of(cfg))


def read_csv(path: Path) -> CircuitFile:
    """Every edge of a graph with its score, a row each; the names say what the graph is.

    Raises:
        ValueError: other columns, an edge twice, or not all the edges of a graph.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True))
        scores = {row["edge"]: float(row["score"]) for row in rows}
        inside = frozenset(row["edge"] for row in rows if {"0": False, "1": True}[row["in_circuit"]])
        graph = Graph(_shape_of_names(scores))
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a table of {', '.join(COLUMNS)} ({error!r})") from None
    if len(rows) != graph.n_edges or scores.keys() != set(graph.edges):
        raise ValueError(f"{path}: {len(rows)} rows are not the {graph.n_edges} edges of a graph, each of them once")
    return CircuitFile(graph, inside, scores, {})


def _shape_of_names(edges: Iterable[str]) -> GraphShape:
    """The shape of the smallest graph that could have all these edges."""
    names = set(edges)
    sources, destinations = {name.partition("->")[0] for name in names}, {name.partition("->")[2] for name in names}
    queries = [re.fullmatch(r"a(\d{1,4})\.h(\d{1,4})<q>", name) for name in destinations]
    keys = [re.fullmatch(r"a\d+\.h(\d{1,4})<k>", name) for name in destinations]
    found = [match for match in queries if match]
    if not found or not any(keys):
        raise ValueError("no queries and keys among the edges")
    return shape_of(
        {
            "n_layers": max(int(match[1]) for match in found) + 1,
            "n_heads": max(int(match[2]) for match in found) + 1,
            "n_kv_heads": max(int(match[1]) for match in keys if match) + 1,
            "attn_only": "m0" not in sources,
            "parallel_attn_mlp": "m0" in sources and "a0.h0->m0" not in names,
        }
    )
