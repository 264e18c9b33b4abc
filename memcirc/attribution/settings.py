"""The settings of attribution: method, steps, objective, ablation and who computes."""

from dataclasses import asdict, dataclass
from typing import TypedDict

from memcirc.attribution.grids import GRIDS
from memcirc.attribution.methods import method_named
from memcirc.config import above, at_least, check_fields
from memcirc.engines import ENGINES
from memcirc.interventions import Ablation
from memcirc.metrics import DIFFERENTIABLE, Metric
from memcirc.models import Model
from memcirc.pairs.record import Pairs


class AttributionOptions(TypedDict, total=False):
    """What :func:`memcirc.attribution.attribute.attribute` takes by name: the fields of :class:`AttributionSettings`
    besides the method, and

    reference: pairs that mean ablations average over (others pass them over); default: the pairs themselves;
    twin: of ablation ``twin``: the same model without the memory; default: the model's own;
    reverse: swap the roles of clean and corrupt prompts, or of model and twin;
    per_example: also keep every pair's own scores.
    """

    steps: int
    grid: str
    objective: str
    ablation: str
    engine: str
    batch_size: int | None
    seed: int
    updates: int
    rate: float
    reference: Pairs | None
    twin: Model | None
    reverse: bool
    per_example: bool


@dataclass(frozen=True)
class AttributionSettings:
    """What every method is told.

    ``steps`` is mask-ig's k and EAP-IG's m, ``grid`` the points of ``eap-ig-inputs`` (the authors' current code, or
    their paper); ``batch_size`` is the engine's choice where it is None; learned masks take ``updates`` steps at a
    ``rate``.

    Raises:
        ValueError: a field of another type, an unknown word, steps or updates below 1, a rate of 0, or a method that
            the engine does not have or that is not defined for the ablation.
    """

    method: str = "mask-ig"
    steps: int = 5
    grid: str = "0..m-1"
    objective: str = "logit_diff"
    ablation: str = "resample"
    engine: str = "native"
    batch_size: int | None = None
    seed: int = 0
    updates: int = 300
    rate: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        method, ablation = method_named(self.method), Ablation.parse(self.ablation)
        for name, accepted in {"grid": GRIDS, "engine": tuple(ENGINES)}.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} {getattr(self, name)!r} is not known; accepted: {', '.join(accepted)}")
        Metric.parse(self.objective, DIFFERENTIABLE)
        at_least(self, 1, "steps", "updates")
        above(self, 0, "rate")
        if method.engines is not None and self.engine not in method.engines:
            raise ValueError(
                f"method {self.method!r} is computed by engine {', '.join(map(repr, method.engines))} alone, not by "
                f"{self.engine!r}"
            )
        if not method.defined_for(ablation):
            raise ValueError(f"method {self.method!r} is not defined for ablation {self.ablation!r}")

    def statement(self) -> dict[str, object]:
        """The settings that a result states: all but the batch size."""
        return {key: value for key, value in asdict(self).items() if key != "batch_size"}
