"""What is verified: one circuit in one mode on one set of pairs, with all that a check may ask for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from torch import Tensor

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores, Ranking
from memcirc.circuit import Circuit, edge_mask
from memcirc.circuits.runner import CircuitRunner, circuit_runner
from memcirc.engine.memory import Memory
from memcirc.graph import Graph, graph_of
from memcirc.interventions import RunSettings, principal
from memcirc.memorization.lift import TWIN
from memcirc.models import Model
from memcirc.pairs.record import Pairs, joined
from memcirc.verification.passages import Passages
from memcirc.verification.settings import Settings

ATTRIBUTION = ("method", "steps", "grid", "objective", "ablation", "seed", "updates", "rate", "reverse")


class SubjectOptions(TypedDict, total=False):
    """What some checks need, as options of a function.

    reference: pairs that mean ablations average over; default: those that are measured; train: pairs that attribution
    saw, for ``stability``, ``methods`` and ``time``; passages: for ``specificity``, ``generation`` and ``time``
    (:func:`memcirc.verification.passages.passages_of`), or a function that gives them; engine: who computes.
    """

    reference: Pairs | None
    train: Pairs | None
    passages: Passages | Callable[[], Passages] | None
    engine: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Outline:
    """What is asked of a circuit, as far as it is known before a model is loaded: enough to list the jobs."""

    circuit: Circuit
    mode: str
    settings: Settings
    ablations: Sequence[str] = ("resample",)
    directions: Sequence[bool] = (False, True)

    @property
    def ablation(self) -> str:
        """The ablation that checks run which take one alone."""
        return principal(self.ablations)

    @property
    def own_reverse(self) -> bool:
        """The direction that the circuit was found in, as it states it."""
        return bool(self.circuit.origin.get("reverse", False))

    def label(self, ablation: str, reverse: bool) -> str:
        """One combination in words."""
        return f"{ablation}, {RunSettings(self.mode, ablation, reverse).direction}"


@dataclass(frozen=True, eq=False)
class Subject(Outline):
    """One circuit in one mode, with what it is measured on.

    Args:
        pairs: what is measured on (test); ``train``: what attribution saw, for the checks that discover anew.
        scores: those that the circuit was chosen by; ``passages``: memorized and other ones (or a function that gives
            them), for the checks that read running text.
        reference: pairs that mean ablations average over.
    """

    model: Model
    pairs: Pairs
    scores: EdgeScores | None = None
    reference: Pairs | None = None
    train: Pairs | None = None
    passages: Passages | Callable[[], Passages] | None = None
    engine: str = "native"
    _runners: dict[tuple[str, bool], CircuitRunner] = field(default_factory=dict, init=False)

    @cached_property
    def memory(self) -> Memory:
        """The budget of kept batches, of which all runners of the subject together use no more than one runner
        would."""
        return Memory(self.model.device)

    @property
    def graph(self) -> Graph:
        return graph_of(self.model)

    @property
    def mask(self) -> Tensor:
        """bool [n_edges]: the circuit."""
        return edge_mask(self.graph, self.circuit)

    @property
    def refined(self) -> Mapping[str, Any] | None:
        """What the circuit states of the prefix that it was refined from; None where it is a prefix itself."""
        stated: Mapping[str, Any] | None = self.circuit.origin.get("refined")
        return stated

    @property
    def prefix_mask(self) -> Tensor:
        """bool [n_edges]: the prefix of the ranking that was found, before edges that it can spare were removed; the
        circuit itself where none were. What is found again from other pairs are prefixes."""
        return self.mask if self.refined is None else self.ranking.masks([int(self.refined["prefix"])])[0]

    def ranked(self, scores: EdgeScores) -> Ranking:
        """Scores with the rule by which the circuit was chosen."""
        return Ranking.of(scores, self.circuit)

    @property
    def ranking(self) -> Ranking:
        """The scores that the circuit was chosen by, with its rule; ValueError where there are none."""
        return self.ranked(self.needed("scores"))

    @property
    def attribution(self) -> dict[str, Any]:
        """Options of :func:`memcirc.attribution.attribute.attribute` by which the circuit's scores were computed, as
        the scores (else the circuit) state them; who computed them makes no difference and is left out."""
        scored = {} if self.scores is None else self.scores.origin
        stated = {**self.circuit.origin, **scored}
        return {name: stated[name] for name in ATTRIBUTION if name in stated}

    @cached_property
    def scored_pairs(self) -> tuple[Pairs, Tensor]:
        """All pairs that are known, each once, and every one's own edge scores by the circuit's own method, float
        [pairs, n_edges].

        Raises:
            ValueError: no training pairs.
        """
        parts = [self.needed("train"), self.reference, self.pairs]
        everything = joined(*(part for part in parts if part is not None))
        everything = Pairs(tuple(dict.fromkeys(everything.items)), everything.header)
        found = attribute(self.model, everything, per_example=True, **self.attribution).per_example
        assert found is not None
        return everything, found

    def own_scores(self, pairs: Pairs) -> Tensor:
        """The rows of :attr:`scored_pairs` for some of its pairs, in their order: float [pairs, n_edges]."""
        everything, per_pair = self.scored_pairs
        place = {pair: i for i, pair in enumerate(everything)}
        return per_pair[[place[pair] for pair in pairs]]

    @cached_property
    def statement(self) -> Mapping[str, Any]:
        """What every number is about: model, data, circuit, settings."""
        pairs, reference = self.pairs, self.reference or self.pairs
        return {
            **self.model.statement(),
            "n_pairs": len(pairs),
            "split": pairs.header.get("split"),
            "bos": pairs.header.get("bos"),
            "data_fingerprint": pairs.fingerprint,
            "n_edges": len(self.circuit),
            "mode": self.mode,
            "origin": dict(self.circuit.origin),
            "averaging": "ratio of means over pairs",
            "means_over": f"{len(reference)} pairs ({reference.fingerprint})",
            "positions": "all edges at every position",
            "engine": self.engine,
            **asdict(self.settings),
        }

    def runner(self, ablation: str | None = None, reverse: bool = False) -> CircuitRunner:
        """The runner of one combination, prepared once; of the subject's :attr:`ablation` by default."""
        ablation = ablation or self.ablation
        key = (ablation, reverse)
        if key not in self._runners:
            self._runners[key] = circuit_runner(
                self.model, self.pairs, mode=self.mode, ablation=ablation, reverse=reverse, reference=self.reference,
                engine=self.engine, memory=self.memory,
            )  # fmt: skip
        return self._runners[key]

    def needed(self, name: str) -> Any:
        """``scores``, ``train`` or ``passages``.

        Raises:
            ValueError: it was not given, the scores are of another graph, or the passages of a model with a twin were
                chosen without that.
        """
        value = getattr(self, name)
        if callable(value):
            value = value()
        if value is None:
            what = {
                "scores": "the edge scores that the circuit was chosen by",
                "train": "the pairs that attribution saw (train=)",
                "passages": "memorized and other passages (passages=)",
            }[name]
            raise ValueError(f"needs {what}, which were not given")
        if name == "passages" and value.alone and self.model.twin is not None:
            raise ValueError(
                f"passages of a table without columns {TWIN}..., and model {self.model.name!r} has a twin; score them "
                "with the model beside its twin"
            )
        if name == "scores" and value.graph != self.graph:
            raise ValueError(
                f"scores of a graph of {value.graph.n_edges} edges, a model of {self.graph.n_edges}: not the same graph"
            )
        return value
