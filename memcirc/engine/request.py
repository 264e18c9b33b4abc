"""What an attribution is asked."""

from dataclasses import dataclass

from memcirc.interventions import RunSettings
from memcirc.models import Model
from memcirc.pairs.record import Pairs


@dataclass(frozen=True, eq=False)
class Request:
    """Score every edge of a model on pairs, on their clean prompts.

    Attributes:
        objective: any of ``metrics.DIFFERENTIABLE``, or with ``neg_`` before it; the loss is its negative.
        ablation: one of ``interventions.ABLATIONS``.
        reference: pairs that mean ablations average over; default: ``pairs``.
        batch_size: pairs at a time; default: as many as keep source outputs, keys, values and patterns below 256 MiB (4
            GiB on a GPU).
        per_example: scores of each pair, [pairs, n_edges], in place of their mean, [n_edges].
        engine: who runs the model; steps, grid, seed, updates, rate: as the method reads them.
    """

    model: Model
    pairs: Pairs
    objective: str = "logit_diff"
    ablation: str = "resample"
    reference: Pairs | None = None
    batch_size: int | None = None
    per_example: bool = False
    engine: str = "native"
    steps: int = 5
    grid: str = "0..m-1"
    seed: int = 0
    updates: int = 300
    rate: float = 0.1

    @property
    def settings(self) -> RunSettings:
        """How the run is patched that the scores are about: edges are ablated on the clean one."""
        return RunSettings("tree", self.ablation)
