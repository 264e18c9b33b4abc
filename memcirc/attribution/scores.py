"""Edge scores: one type, whoever computed them. A positive score means that patching the edge lowers the objective."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from memcirc.artifacts import atomic
from memcirc.attribution.selection import check_by, check_size, greedy_ranking, prefix_masks, ranking
from memcirc.circuit import Circuit
from memcirc.graph import LOGITS, Graph, GraphShape, node_of
from memcirc.interop.reading import read_circuit_file
from memcirc.models import Model
from memcirc.origin import check_fits
from memcirc.schema import NewerFile, check_schema, with_schema
from memcirc.showing import Shown

HEADER = "memcirc"


@dataclass(frozen=True, eq=False)
class EdgeScores(Shown):
    """Scores of all edges of a graph.

    ``values`` are in canonical order (the mean over pairs), ``per_example``, every pair's own, is there where it was
    asked for; ``origin`` states method, objective, ablation, model and data.

    Raises:
        ValueError: a number of scores, or of a pair's own, that is not the number of edges, or NaN among them.
    """

    graph: Graph
    values: Float[Tensor, " n_edges"]
    origin: Mapping[str, Any] = field(default_factory=dict)
    per_example: Float[Tensor, "pairs n_edges"] | None = None

    def __post_init__(self) -> None:
        if tuple(self.values.shape) != (self.graph.n_edges,):
            raise ValueError(f"scores of shape {tuple(self.values.shape)} for a graph of {self.graph.n_edges} edges")
        if torch.isnan(self.values).any():
            raise ValueError(f"{int(torch.isnan(self.values).sum())} of {self.graph.n_edges} edge scores are NaN")
        own = self.per_example
        if own is None:
            return
        if own.ndim != 2 or own.shape[1] != self.graph.n_edges:
            raise ValueError(f"the pairs' own scores, {tuple(own.shape)}, for a graph of {self.graph.n_edges} edges")
        if torch.isnan(own).any():
            raise ValueError(f"{int(torch.isnan(own).any(1).sum())} of {len(own)} pairs have edge scores that are NaN")

    def __repr__(self) -> str:
        method, model = (self.origin.get(name, "not stated") for name in ("method", "model"))
        return f"EdgeScores({self.graph.n_edges} edges, method {method}, model {model})"

    def __getitem__(self, name: str) -> float:
        return float(self.values[self.graph.index(name)])

    def as_dict(self) -> dict[str, float]:
        """Every edge's name with its score, in canonical order."""
        return dict(zip(self.graph.edges, self.values.tolist(), strict=True))

    def by_node(self) -> dict[str, dict[str, float]]:
        """For each node (``input``, ``a0.h1``, ``m0``, ..., ``logits``) the edges that leave or enter it, by name, with
        their scores, in canonical order."""
        nodes: dict[str, dict[str, float]] = {name: {} for name in (*self.graph.sources, LOGITS)}
        for name, score in self.as_dict().items():
            source, _, destination = name.partition("->")
            nodes[source][name] = nodes[node_of(destination)][name] = score
        return nodes

    @cached_property
    def _orders(self) -> dict[tuple[str, str], Tensor]:
        return {}

    def order(self, by: str = "abs", selection: str = "top") -> Tensor:
        """int64 [n_edges]: the ranking whose first n edges are the circuit of size n (``top`` or ``greedy``)."""
        if selection not in ("top", "greedy"):
            raise ValueError(f"selection {selection!r} is not known; accepted: top, greedy")
        check_by(by)
        if (selection, by) not in self._orders:
            ranked = ranking(self.values, by) if selection == "top" else greedy_ranking(self.graph, self.values, by)
            self._orders[selection, by] = ranked
        return self._orders[selection, by]

    def top(self, n: int, by: str = "abs") -> Circuit:
        """Exactly the n highest edges; ties go to the earlier edge (source, then destination).

        Raises:
            ValueError: n outside 0..n_edges.
        """
        return self.first(n, by, "top")

    def greedy(self, n: int, by: str = "abs") -> Circuit:
        """Exactly n edges by greedy growth from the logits; every one of them leads there."""
        return self.first(n, by, "greedy")

    def first(self, n: int, by: str = "abs", selection: str = "top") -> Circuit:
        """Exactly the first n edges of a ranking (:meth:`order`); ValueError for n outside 0..n_edges."""
        check_size(n, self.graph.n_edges)
        chosen = self.order(by, selection)[:n].tolist()
        origin = {**self.origin, "selection": selection, "by": by}
        return Circuit(frozenset(self.graph.edges[i] for i in chosen), origin)

    def save(self, path: str | Path) -> None:
        """Write safetensors with a JSON header, atomically."""
        tensors = {"values": self.values.contiguous()}
        if self.per_example is not None:
            tensors["per_example"] = self.per_example.contiguous()
        stated = with_schema({"graph": asdict(self.graph.shape), "origin": dict(self.origin)})
        header = json.dumps(stated, default=str)
        with atomic(Path(path)) as partial:
            save_file(tensors, str(partial), metadata={HEADER: header})  # one key: several come in any order


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores with the rule by which circuits are taken from them (:meth:`EdgeScores.order`)."""

    scores: EdgeScores
    by: str = "abs"
    selection: str = "top"

    @classmethod
    def of(cls, scores: EdgeScores, circuit: Circuit) -> "Ranking":
        """Scores with the rule by which a circuit was chosen, as far as it states one."""
        return cls(scores, circuit.origin.get("by", "abs"), circuit.origin.get("selection", "top"))

    @property
    def order(self) -> Int[Tensor, " n_edges"]:
        """The edges in the order in which they are taken."""
        return self.scores.order(self.by, self.selection)

    def masks(self, sizes: Sequence[int]) -> Bool[Tensor, "sizes n_edges"]:
        """The circuits made of the first n edges."""
        return prefix_masks(self.order, sizes)


def load_scores(path: str | Path, model: Model | None = None) -> EdgeScores:
    """Read what :meth:`EdgeScores.save` wrote, or the scores of all edges in a file that
    :func:`memcirc.load_circuit` reads: EAP-IG's, MIB's, AutoCircuit's, a CSV.

    Args:
        model: the model that they are to be of.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of edge scores, or one without the scores of some edges; scores of another model than the
            one given.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no edge scores at {path}")
    scores = _saved(path) if _is_safetensors(path) else _exchanged(path)
    if model is not None:
        check_fits(model, scores.graph, scores.origin, f"{path}: scores")
    return scores


def _exchanged(path: Path) -> EdgeScores:
    found = read_circuit_file(path)
    return EdgeScores(found.graph, found.all_scores(path), found.origin)


def _is_safetensors(path: Path) -> bool:
    """By its name, or by its first bytes: the length of a header, which is JSON."""
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[4:] == b"\0\0\0\0{"


def _saved(path: Path) -> EdgeScores:
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {})[HEADER])
            check_schema(header, path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        graph = Graph(GraphShape(**header["graph"]))
        return EdgeScores(graph, tensors["values"], header["origin"], tensors.get("per_example"))
    except NewerFile:
        raise
    except Exception as error:
        raise ValueError(f"{path}: not a file of memcirc edge scores ({error})") from None
