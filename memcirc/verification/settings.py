"""What the checks are told: how much of everything they measure, and which metric they read."""

from dataclasses import dataclass, field
from typing import TypedDict

from memcirc.config import at_least, check_fields


@dataclass(frozen=True)
class CheckSettings:
    """What a configuration offers of the checks' settings.

    Raises:
        ValueError: a field of another type, an unknown metric, a count below 1 or a seed below 0.
    """

    metric: str = field(default="logit_diff", metadata={"option": "optimize_metric", "help": "metric of faithfulness"})
    n_random: int = field(
        default=100, metadata={"help": "random circuits of the same size, of each kind", "flags": ("random_circuits",)}
    )
    n_resamples: int = field(default=2000, metadata={"help": "resamples of every bootstrap", "flags": ("resamples",)})
    curve_points: int = field(default=16, metadata={"help": "sizes on the faithfulness curve"})
    n_rediscoveries: int = field(
        default=50, metadata={"help": "resamples of the training documents from which stability finds a circuit again"}
    )
    n_splits: int = field(default=5, metadata={"help": "other training splits from which stability finds one again"})
    n_subsets: int = field(default=20, metadata={"help": "random subsets of the circuit that knockout takes out"})
    n_candidates: int = field(default=100, metadata={"help": "edges among which knockout looks for back-ups"})
    n_permutations: int = field(default=999, metadata={"help": "permutations of the test of independence"})
    copying_gain: float = field(
        default=1.0,
        metadata={"help": "nats a token that repeating random tokens must gain for specificity to seek copying"},
    )
    fewest_pairs: int = field(default=8, metadata={"help": "pairs that a later token needs to be measured"})
    seed: int = field(default=0, metadata={"help": "seed of the random circuits"})

    def __post_init__(self) -> None:
        check_fields(self)
        from memcirc.metrics import Metric  # torch comes with it, which --help need not wait for

        Metric.parse(self.metric)
        at_least(self, 1, "curve_points", "n_resamples", "n_rediscoveries", "n_splits", "n_subsets", "n_candidates")
        at_least(self, 1, "n_permutations", "fewest_pairs")
        at_least(self, 0, "n_random", "seed")


@dataclass(frozen=True)
class Settings(CheckSettings):
    """What all checks share: besides, the faithfulness that circuits were to keep, and whether curves are drawn under
    every ablation and chance at every size (``thorough``)."""

    target: float = 0.85
    thorough: bool = False


class SettingOptions(TypedDict, total=False):
    """The fields of :class:`Settings` as options of a function."""

    metric: str
    n_random: int
    n_resamples: int
    curve_points: int
    n_rediscoveries: int
    n_splits: int
    n_subsets: int
    n_candidates: int
    n_permutations: int
    copying_gain: float
    fewest_pairs: int
    seed: int
    target: float
    thorough: bool
