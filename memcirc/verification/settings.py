"""What the checks are told: how much of everything they measure, and which metric they read."""

from dataclasses import dataclass
from typing import TypedDict

from memcirc.config import at_least, check_fields, option


@dataclass(frozen=True)
class CheckSettings:
    """What a configuration offers of the checks' settings.

    Raises:
        ValueError: a field of another type, an unknown metric, a count below 1 or a seed below 0.
    """

    metric: str = option("logit_diff", "metric of faithfulness", name="optimize_metric")
    n_random: int = option(100, "random circuits of the same size, of each kind", flags=("--random_circuits",))
    n_resamples: int = option(2000, "resamples of every bootstrap", flags=("--resamples",))
    curve_points: int = option(16, "sizes on the faithfulness curve")
    n_rediscoveries: int = option(50, "resamples of the training documents from which stability finds a circuit again")
    n_splits: int = option(5, "other training splits from which stability finds one again")
    n_subsets: int = option(20, "random subsets of the circuit that knockout takes out")
    n_candidates: int = option(100, "edges among which knockout looks for back-ups")
    n_permutations: int = option(999, "permutations of the test of independence")
    copying_gain: float = option(1.0, "nats a token that repeated random tokens gain where a model copies")
    memorized_harm: float = option(
        0.5, "nats a token that a specific circuit's removal costs memorized passages at least"
    )
    other_harm: float = option(0.1, "nats a token that it costs other text at most")
    fewest_pairs: int = option(8, "pairs that a later token needs to be measured")
    seed: int = option(0, "seed of the random circuits")

    def __post_init__(self) -> None:
        check_fields(self)
        from memcirc.metrics import Metric  # torch comes with it, which --help need not wait for

        Metric.parse(self.metric)
        at_least(self, 1, "curve_points", "n_resamples", "n_rediscoveries", "n_splits", "n_subsets", "n_candidates")
        at_least(self, 1, "n_permutations", "fewest_pairs")
        at_least(self, 0, "n_random", "seed", "other_harm")
        if self.memorized_harm <= self.other_harm:
            raise ValueError(f"memorized_harm {self.memorized_harm} is not above other_harm {self.other_harm}")


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
    memorized_harm: float
    other_harm: float
    fewest_pairs: int
    seed: int
    target: float
    thorough: bool
