"""Configuration of the discovery stage."""

from dataclasses import dataclass, field

from memcirc.attribution.grids import GRIDS
from memcirc.attribution.methods import METHODS
from memcirc.config import at_least, check_fields, in_unit_interval
from memcirc.engines import ENGINES
from memcirc.interventions import ABLATIONS, MODES
from memcirc.study import ABLATION_WORDS, MODE_WORDS


@dataclass(frozen=True)
class DiscoverConfig:
    """How edges are scored, and which circuit is the minimal one.

    Raises:
        ValueError: an unknown word, a target outside [0, 1], a count below 1.
    """

    method: str = field(default="mask-ig", metadata={"help": "attribution method", "choices": tuple(METHODS)})
    steps: int = field(
        default=5,
        metadata={"help": "integrated-gradient steps: k of mask-ig, m of eap-ig", "flags": ("ig",)},
    )
    grid: str = field(
        default="0..m-1",
        metadata={"help": "points of eap-ig-inputs: its authors' code, or their paper", "choices": GRIDS},
    )
    objective: str = field(
        default="logit_diff", metadata={"help": "differentiable metric that attribution is about, or neg_ and one"}
    )
    metric: str = field(
        default="logit_diff", metadata={"option": "optimize_metric", "help": "metric whose faithfulness is kept"}
    )
    target: float = field(
        default=0.85,
        metadata={
            "help": "share of the full model's faithfulness that the minimal circuit keeps",
            "flags": ("target_performance",),
        },
    )
    ablation: str = field(
        default="resample",
        metadata={
            "help": "what ablated edges carry",
            "choices": tuple(ABLATIONS),
            "flags": ("ablation_type",),
            "words": ABLATION_WORDS,
        },
    )
    mode: str = field(
        default="tree",
        metadata={
            "help": "keep the circuit and ablate the rest, or patch it alone",
            "choices": MODES,
            "flags": ("patch_type",),
            "words": MODE_WORDS,
        },
    )
    reverse: bool = field(
        default=False,
        metadata={"help": "exchange the base and the source prompt", "flags": ("reverse_clean_corrupt",)},
    )
    by: str = field(
        default="abs", metadata={"help": "rank edges by absolute or by signed score", "choices": ("abs", "signed")}
    )
    selection: str = field(
        default="top",
        metadata={"help": "highest scores, or greedy growth from the logits", "choices": ("top", "greedy")},
    )
    engine: str = field(default="native", metadata={"help": "who computes", "choices": tuple(ENGINES)})
    batch_size: int = field(default=16, metadata={"option": "eap_batch_size", "help": "pairs in one attribution pass"})
    seed: int = field(default=0, metadata={"option": "attribution_seed", "help": "seed of method random"})
    unit_pairs: int = field(
        default=64,
        metadata={"help": "pairs in one unit of attribution, which is resumed or given to a worker as a whole"},
    )

    def __post_init__(self) -> None:
        check_fields(self)
        from memcirc.metrics import DIFFERENTIABLE, Metric  # torch comes with it, which --help need not wait for

        Metric.parse(self.metric)
        Metric.parse(self.objective, DIFFERENTIABLE)
        in_unit_interval(self, "target")
        at_least(self, 1, "steps", "batch_size", "unit_pairs")
        at_least(self, 0, "seed")
