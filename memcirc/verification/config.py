"""Configuration of the verification stage."""

from dataclasses import dataclass, field

from memcirc.config import at_least, check_fields
from memcirc.engines import ENGINES
from memcirc.interventions import VERIFIED
from memcirc.study import ABLATION_WORDS, PATCH_TYPES
from memcirc.verification.checks import CHECKS, DEFAULT_CHECKS, known_checks


@dataclass(frozen=True)
class VerifyConfig:
    """What is verified, and how. Without further options: the run's own circuits on its test split.

    Raises:
        ValueError: an unknown word, or a count below 1.
    """

    prune_scores_path: str = field(
        default="", metadata={"help": "file of edge scores, as memcirc saves them, in place of the run's own"}
    )
    edge_count: int | None = field(default=None, metadata={"help": "size of the circuit in place of the minimal one"})
    dataset_path: str = field(default="", metadata={"help": "file of pairs in place of the run's test split"})
    dataset_size: int | None = field(default=None, metadata={"help": "use the first pairs only"})
    optimize_metric: str = field(default="logit_diff", metadata={"help": "metric of faithfulness"})
    ablation_type: str = field(
        default="all", metadata={"help": "what ablated edges carry", "choices": ("all", *ABLATION_WORDS)}
    )
    patch_type: str = field(
        default="all", metadata={"help": "ways to run the circuit", "choices": ("all", *PATCH_TYPES)}
    )
    reverse_clean_corrupt: str = field(
        default="all",
        metadata={"help": "exchange the base and the source prompt; all is both", "choices": ("all", "yes", "no")},
    )
    checks: str = field(
        default="default",
        metadata={
            "help": "default, full, or names separated by commas: "
            + "; ".join(f"{name} ({check.about})" for name, check in CHECKS.items())
        },
    )
    random_circuits: int = field(default=100, metadata={"help": "random circuits of the same size, of each kind"})
    resamples: int = field(default=2000, metadata={"help": "resamples of every bootstrap"})
    passages: int = field(default=24, metadata={"help": "passages of each sort in the checks on running text"})
    curve_points: int = field(default=16, metadata={"help": "sizes on the faithfulness curve"})
    engine: str = field(default="native", metadata={"help": "who computes", "choices": tuple(ENGINES)})
    seed: int = field(default=0, metadata={"help": "seed of the random circuits"})

    def __post_init__(self) -> None:
        check_fields(self)
        from memcirc.metrics import Metric  # torch comes with it, which --help need not wait for

        Metric.parse(self.optimize_metric)
        at_least(self, 1, "random_circuits", "curve_points", "resamples", "passages")
        at_least(self, 0, "seed")
        known_checks(self.chosen_checks, "default", "full")
        for name in ("edge_count", "dataset_size"):
            if getattr(self, name) is not None:
                at_least(self, 1, name)

    @property
    def chosen_checks(self) -> tuple[str, ...]:
        """Names of the checks that are made."""
        if self.checks in ("default", "full"):
            return DEFAULT_CHECKS if self.checks == "default" else tuple(CHECKS)
        return tuple(name.strip() for name in self.checks.split(",") if name.strip())

    @property
    def ablations(self) -> tuple[str, ...]:
        if self.ablation_type == "all":
            return VERIFIED
        return (ABLATION_WORDS[self.ablation_type],)

    @property
    def modes(self) -> tuple[str, ...]:
        return ("tree", "edge") if self.patch_type == "all" else (PATCH_TYPES[self.patch_type],)

    @property
    def directions(self) -> tuple[bool, ...]:
        return {"all": (False, True), "yes": (True,), "no": (False,)}[self.reverse_clean_corrupt]
