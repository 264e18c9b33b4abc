"""Configuration of the discovery stage."""

from dataclasses import dataclass, field

from memcirc.attribution.grids import GRIDS
from memcirc.attribution.methods import METHODS
from memcirc.config import at_least, check_fields, in_unit_interval
from memcirc.engines import ENGINES
from memcirc.study import ABLATION_WORDS, LOSSES, PATCH_TYPES, objective


@dataclass(frozen=True)
class DiscoverConfig:
    """How edges are scored, and which circuit is the minimal one.

    Raises:
        ValueError: an unknown word, a target outside [0, 1], a count below 1.
    """

    method: str = field(default="mask-ig", metadata={"help": "attribution method", "choices": tuple(METHODS)})
    ig: int = field(default=5, metadata={"help": "integrated-gradient steps: k of mask-ig, m of eap-ig"})
    grid: str = field(
        default="0..m-1",
        metadata={"help": "points of eap-ig-inputs: its authors' code, or their paper", "choices": GRIDS},
    )
    grad_function: str = field(
        default="logit",
        metadata={"help": "value of a token in the objective", "choices": ("logit", "prob", "logprob")},
    )
    loss_function: str = field(
        default="logit_diff",
        metadata={"help": "objective: answer minus wrong answer, or the answer alone", "choices": tuple(LOSSES)},
    )
    optimize_metric: str = field(default="logit_diff", metadata={"help": "metric whose faithfulness is kept"})
    target_performance: float = field(
        default=0.85, metadata={"help": "share of the full model's faithfulness that the minimal circuit keeps"}
    )
    ablation_type: str = field(
        default="resample", metadata={"help": "what ablated edges carry", "choices": tuple(ABLATION_WORDS)}
    )
    patch_type: str = field(
        default="tree",
        metadata={"help": "keep the circuit and ablate the rest, or patch it alone", "choices": tuple(PATCH_TYPES)},
    )
    reverse_clean_corrupt: bool = field(default=False, metadata={"help": "exchange the base and the source prompt"})
    by: str = field(
        default="abs", metadata={"help": "rank edges by absolute or by signed score", "choices": ("abs", "signed")}
    )
    selection: str = field(
        default="top",
        metadata={"help": "highest scores, or greedy growth from the logits", "choices": ("top", "greedy")},
    )
    engine: str = field(default="native", metadata={"help": "who computes", "choices": tuple(ENGINES)})
    eap_batch_size: int = field(default=16, metadata={"help": "pairs in one attribution pass"})
    attribution_seed: int = field(default=0, metadata={"help": "seed of method random"})
    unit_pairs: int = field(
        default=64,
        metadata={"help": "pairs in one unit of attribution, which is resumed or given to a worker as a whole"},
    )

    def __post_init__(self) -> None:
        check_fields(self)
        from memcirc.metrics import Metric  # torch comes with it, which --help need not wait for

        Metric.parse(self.optimize_metric)
        in_unit_interval(self, "target_performance")
        at_least(self, 1, "ig", "eap_batch_size", "unit_pairs")
        at_least(self, 0, "attribution_seed")

    @property
    def objective(self) -> str:
        """The attribution objective, as one of our metrics."""
        return objective(self.grad_function, self.loss_function)

    @property
    def mode(self) -> str:
        return PATCH_TYPES[self.patch_type]

    @property
    def ablation(self) -> str:
        return ABLATION_WORDS[self.ablation_type]
