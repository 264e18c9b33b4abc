"""What a circuit is to keep, where it must do so in several ways at once: under several ablations, on two data sets."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from memcirc.circuits.runner import CircuitRunner

Masks = Bool[Tensor, "circuits n_edges"]
Values = Float[Tensor, " circuits"]


@dataclass(frozen=True, eq=False)
class Condition:
    """A runner, the metric that is read there, and the faithfulness that is asked."""

    runner: CircuitRunner
    metric: str
    target: float

    def faithfulness(self, masks: Masks) -> Values:
        """What circuits keep here."""
        return self.runner.faithfulness(masks, self.metric)


def least_kept(conditions: Sequence[Condition], masks: Masks) -> Values:
    """What circuits keep where they keep least."""
    values = conditions[0].faithfulness(masks)
    for condition in conditions[1:]:
        values = values.minimum(condition.faithfulness(masks))
    return values


def least_margin(conditions: Sequence[Condition], masks: Masks) -> Values:
    """By how much circuits keep more than is asked, where this is least; below 0 they fall short. One that does so is
    not run under the conditions that follow."""
    margins = conditions[0].faithfulness(masks) - conditions[0].target
    for condition in conditions[1:]:
        open_ = (margins >= 0).nonzero()[:, 0]
        if len(open_):
            margins[open_] = margins[open_].minimum(condition.faithfulness(masks[open_]) - condition.target)
    return margins
