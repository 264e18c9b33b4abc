"""A circuit with its scores, as the files that others read.

- ``mib-json``: EAP-IG's and MIB's JSON as their current reader takes it (``cfg``, ``nodes`` and ``edges``, every one
  with ``in_graph``);
- ``mib-pt``: the same as tensors [source, destination] (their ``Graph.from_pt``);
- ``auto-circuit``: AutoCircuit's prune scores, a tensor for each module of destinations: the circuit's edges carry
  their scores, all others 0, so that the highest len(circuit) absolute scores are the circuit (a score of 0 within it
  is raised to the smallest other); ``auto-circuit-scores``: those of all edges, as its ``save_cache`` keeps them;
- ``graphml``, ``dot``: the circuit's nodes and edges for graph programs; ``csv``: every edge of the graph, a row each.

:mod:`memcirc.interop.reading` reads all of them. ``mib-submission`` (:mod:`memcirc.run.submission`) is a folder.

A format is a function here, registered under its name. The command asks for the names, so that torch is imported by the
functions that need it.
"""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from memcirc.artifacts import atomic, plain, write_text

if TYPE_CHECKING:
    from torch import Tensor

    from memcirc.interop.mib import ScoredCircuit

Write = Callable[["ScoredCircuit", Path], None]


@dataclass(frozen=True)
class Format:
    """A kind of file: how its name ends, and what writes one, atomically."""

    extension: str
    write: Write


FORMATS: dict[str, Format] = {}
SUBMISSION = "mib-submission"


def written_as(name: str, extension: str) -> Callable[[Write], Write]:
    """Registers a function that writes a circuit under the name of its format."""

    def registered(write: Write) -> Write:
        FORMATS[name] = Format(extension, write)
        return write

    return registered


def format_named(name: str) -> Format:
    """The format; ValueError for a name that none has."""
    if name not in FORMATS:
        raise ValueError(f"format {name!r} is not known; accepted: {', '.join((*FORMATS, SUBMISSION))}")
    return FORMATS[name]


def export(scored: "ScoredCircuit", path: Path, file_format: str) -> None:
    """Write a circuit, atomically.

    Raises:
        ValueError: an unknown format, or a graph that it cannot hold.
    """
    format_named(file_format).write(scored, path)


def _require_whole_blocks(scored: "ScoredCircuit", reader: str) -> None:
    shape = scored.graph.shape
    if not shape.has_mlp or shape.n_kv_heads != shape.n_heads:
        what = "grouped keys and values" if shape.has_mlp else "no MLPs"
        raise ValueError(f"a graph with {what} has no place in {reader}'s files; export graphml, dot or csv")


@written_as("mib-json", "json")
def _mib_json(scored: "ScoredCircuit", path: Path) -> None:
    from memcirc.interop.mib import save_circuit

    _require_whole_blocks(scored, "MIB")
    save_circuit(path, scored)


@written_as("mib-pt", "pt")
def _mib_pt(scored: "ScoredCircuit", path: Path) -> None:
    import torch

    _require_whole_blocks(scored, "MIB")
    graph = scored.graph
    content = {
        "cfg": scored.cfg,
        "src_nodes": list(graph.sources),
        "dst_nodes": list(graph.destinations),
        "edges_scores": graph.to_matrix(scored.scores).T.contiguous(),
        "edges_in_graph": graph.to_matrix(scored.mask).T.contiguous(),
        "nodes_in_graph": torch.tensor([scored.nodes[name] for name in graph.sources]),
        "memcirc": plain(dict(scored.circuit.origin)),
    }
    with atomic(path) as partial:
        torch.save(content, partial)


@written_as("auto-circuit", "pt")
def _auto_circuit(scored: "ScoredCircuit", path: Path) -> None:
    import torch

    _require_whole_blocks(scored, "AutoCircuit")
    with atomic(path) as partial:
        torch.save(prune_scores(scored), partial)


@written_as("auto-circuit-scores", "pkl")
def _auto_circuit_scores(scored: "ScoredCircuit", path: Path) -> None:
    import torch

    from memcirc.interop.prune_scores import to_prune_scores

    _require_whole_blocks(scored, "AutoCircuit")
    with atomic(path) as partial:
        torch.save(to_prune_scores(scored.graph, scored.scores), partial)


def prune_scores(scored: "ScoredCircuit") -> "dict[str, Tensor]":
    """The circuit as :mod:`memcirc.interop.prune_scores` has it: its edges with their scores, all others 0."""
    import torch

    from memcirc.interop.prune_scores import to_prune_scores

    mask = scored.mask
    inside = scored.scores[mask]
    positive = inside[inside != 0].abs()
    floor = float(positive.min()) if len(positive) else 1.0
    values = torch.where(mask, torch.where(scored.scores == 0, floor, scored.scores), 0.0)
    return to_prune_scores(scored.graph, values)


def _rows(scored: "ScoredCircuit") -> list[tuple[str, str, str, str, float]]:
    """The circuit's edges in canonical order: name, source, node, input (``q``, ``k``, ``v`` or nothing), score."""
    from memcirc.interop.mib import ends_of

    rows = []
    for index in scored.mask.nonzero()[:, 0].tolist():
        name = scored.graph.edges[index]
        source, node = ends_of(name)
        letter = name.partition("<")[2].rstrip(">")
        rows.append((name, source, node, letter, float(scored.scores[index])))
    return rows


@written_as("graphml", "graphml")
def _graphml(scored: "ScoredCircuit", path: Path) -> None:
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
        '<key id="score" for="edge" attr.name="score" attr.type="double"/>',
        '<key id="input" for="edge" attr.name="input" attr.type="string"/>',
        '<key id="cfg" for="graph" attr.name="cfg" attr.type="string"/>',
        '<key id="memcirc" for="graph" attr.name="memcirc" attr.type="string"/>',
        '<graph edgedefault="directed">',
        f'<data key="cfg">{escape(json.dumps(scored.cfg))}</data>',
        f'<data key="memcirc">{escape(json.dumps(plain(dict(scored.circuit.origin))))}</data>',
        *(f"<node id={quoteattr(name)}/>" for name, inside in scored.nodes.items() if inside),
    ]
    for name, source, node, letter, score in _rows(scored):
        ends = f"source={quoteattr(source)} target={quoteattr(node)}"
        data = f'<data key="score">{score!r}</data><data key="input">{letter}</data>'
        lines.append(f"<edge id={quoteattr(name)} {ends}>{data}</edge>")
    write_text(path, "\n".join([*lines, "</graph>", "</graphml>"]) + "\n")


@written_as("dot", "dot")
def _dot(scored: "ScoredCircuit", path: Path) -> None:
    rows = _rows(scored)
    strongest = max((abs(row[-1]) for row in rows), default=1.0) or 1.0
    lines = [
        "digraph circuit {",
        f"  // cfg {json.dumps(scored.cfg)}",
        "  rankdir=BT; node [shape=box, style=rounded];",
    ]
    lines += [f'  "{name}";' for name, inside in scored.nodes.items() if inside]
    for _, source, node, letter, score in rows:
        width = 0.5 + 4 * abs(score) / strongest
        told = f'label="{letter}", penwidth={width:.2f}, tooltip="{score:.4g}", score="{score!r}"'
        lines.append(f'  "{source}" -> "{node}" [{told}];')
    write_text(path, "\n".join([*lines, "}"]) + "\n")


@written_as("csv", "csv")
def _csv(scored: "ScoredCircuit", path: Path) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("edge", "source", "destination", "score", "in_circuit"))
    for name, score, inside in zip(scored.graph.edges, scored.scores.tolist(), scored.mask.tolist(), strict=True):
        source, _, destination = name.partition("->")
        writer.writerow((name, source, destination, repr(score), int(inside)))
    write_text(path, text.getvalue())
