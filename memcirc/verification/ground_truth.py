"""Do edge scores find a circuit that is known? Compiled programs as ground truth.

The area under the ROC of the scores' sizes: the probability that an edge of the known circuit outranks one outside it
(ties count one half; Mann and Whitney 1947). Scores are means over pairs of every pair's own absolute score, since a
program whose output is a number rises in one pair and falls in another; for an objective of answers the plain means'
area stands beside it. 1 is a perfect ranking, .5 chance.
"""

from dataclasses import dataclass

from torch import Tensor

from memcirc.attribution.attribute import attribute
from memcirc.circuit import Circuit, edge_mask
from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.statistics import area_under_roc

METHODS = ("mask-ig", "eap", "eap-ig-inputs", "exact", "random")


@dataclass(frozen=True)
class Recovery:
    """How well one method's scores find a known circuit of ``n_edges``; ``signed_auc`` is the area of the plain
    means."""

    program: str
    method: str
    objective: str
    ablation: str
    base: str
    direction: str
    n_pairs: int
    n_edges: int
    graph_edges: int
    auc: float
    signed_auc: float
    recall_at_size: float


def auc(scores: Tensor, circuit: Tensor) -> float:
    """Area under the ROC of float [n_edges] scores against bool [n_edges].

    Raises:
        ValueError: no edge or every edge in the circuit.
    """
    inside = int(circuit.sum())
    outside = len(circuit) - inside
    if not inside or not outside:
        raise ValueError(
            f"a circuit of {inside} of {len(circuit)} edges has no area; at least one must lie on each side"
        )
    return area_under_roc(scores[circuit].numpy(), scores[~circuit].numpy())


@dataclass(frozen=True, eq=False)
class Known:
    """A model, pairs for it, and the circuit that it runs through."""

    name: str
    model: Model
    pairs: Pairs
    circuit: Circuit


def recover(known: Known, method: str, objective: str, ablation: str, seed: int = 0) -> Recovery:
    """Score the edges by one method and compare with the known circuit."""
    pairs, circuit = known.pairs, known.circuit
    found = attribute(
        known.model, pairs, method, objective=objective, ablation=ablation, per_example=True, seed=seed
    ).per_example
    assert found is not None
    mask = edge_mask(graph_of(known.model), circuit)
    sizes = found.abs().mean(0)
    return Recovery(
        program=known.name,
        method=method,
        objective=objective,
        ablation=ablation,
        base="clean",
        direction="noising",
        n_pairs=len(pairs),
        n_edges=len(circuit),
        graph_edges=len(mask),
        auc=auc(sizes, mask),
        signed_auc=auc(found.mean(0).abs(), mask),
        recall_at_size=float(mask[sizes.argsort(descending=True, stable=True)[: len(circuit)]].double().mean()),
    )
