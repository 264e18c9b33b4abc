"""A folder as MIB's circuit track takes it: nine circuits, each with no more than its share of the edges.

MIB reads the first nine ``.pt`` files of a folder that is named after task and model (``ioi_gpt2``), whatever they are
called, so the folder holds nothing else of that kind.
"""

from dataclasses import replace
from pathlib import Path

from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit
from memcirc.interop.export import export
from memcirc.interop.mib import ScoredCircuit
from memcirc.verification.areas import MIB_FRACTIONS

SHARES = MIB_FRACTIONS[:-1]


def nine_circuits(scored: ScoredCircuit) -> list[ScoredCircuit]:
    """Of the scores the prefixes of ``floor(share * n_edges)`` edges, in the ranking that the circuit was taken from.

    Args:
        scored: of its circuit only the rule is read by which it was chosen.
    """
    ranking = Ranking.of(EdgeScores(scored.graph, scored.scores), scored.circuit)
    masks = ranking.masks([int(share * scored.graph.n_edges) for share in SHARES])
    names = scored.graph.edges
    circuits = ([names[i] for i in mask.nonzero()[:, 0].tolist()] for mask in masks)
    return [replace(scored, circuit=Circuit(frozenset(edges), scored.circuit.origin)) for edges in circuits]


def write_submission(scored: ScoredCircuit, folder: Path) -> Path:
    """Write the nine files and return the folder.

    Raises:
        ValueError: other circuits lie there, or a graph that MIB's files cannot hold.
    """
    named = {f"edges_{share:g}.pt": circuit for share, circuit in zip(SHARES, nine_circuits(scored), strict=True)}
    others = sorted(path.name for path in folder.glob("*") if path.name not in named)
    if others:
        raise ValueError(f"{folder} holds {others[0]}; a submission has a folder of its own")
    for name, circuit in named.items():
        export(circuit, folder / name, "mib-pt")
    return folder
