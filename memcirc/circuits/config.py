"""Configuration of the discovery stage."""

from dataclasses import dataclass, field
from typing import Literal

from memcirc.config import at_least, choice, in_unit_interval
from memcirc.study import ABLATION_WORDS, LOSSES, PATCH_TYPES, objective


@dataclass(frozen=True)
class DiscoverConfig:
    """How edges are scored, and which circuit is the minimal one.

    Raises:
        ValueError: an unknown word, a target outside [0, 1], a count below 1.
    """

    method: Literal["eap", "mask-ig", "clean-corrupted", "exact", "random"] = field(
        default="mask-ig", metadata={"help": "attribution method"}
    )
    ig: int = field(default=5, metadata={"help": "integrated-gradient steps k of mask-ig"})
    grad_function: Literal["logit", "prob", "logprob"] = field(
        default="logit", metadata={"help": "value of a token in the attribution objective"}
    )
    loss_function: Literal["logit_diff", "avg_diff", "logit", "avg_val"] = field(
        default="logit_diff", metadata={"help": "objective: answer minus wrong answer (logit_diff), or the answer alone"}
    )
    optimize_metric: str = field(default="logit_diff", metadata={"help": "metric whose faithfulness is kept"})
    target_performance: float = field(
        default=0.85, metadata={"help": "share of the full model's faithfulness that the minimal circuit keeps"}
    )
    ablation_type: str = field(
        default="resample", metadata={"help": "resample, zero, mean-clean, mean-corrupt, mean-both or mean-all"}
    )
    patch_type: Literal["tree", "edge", "TREE_PATCH", "EDGE_PATCH"] = field(
        default="tree", metadata={"help": "how circuits run: keep the circuit and ablate the rest, or patch it alone"}
    )
    reverse_clean_corrupt: bool = field(default=False, metadata={"help": "exchange the base and the source prompt"})
    by: Literal["abs", "signed"] = field(default="abs", metadata={"help": "rank edges by absolute or by signed score"})
    selection: Literal["top", "greedy"] = field(
        default="top", metadata={"help": "highest scores, or greedy growth from the logits"}
    )
    engine: Literal["native", "auto-circuit"] = field(default="native", metadata={"help": "who computes"})
    eap_batch_size: int = field(default=16, metadata={"help": "pairs in one attribution pass"})

    def __post_init__(self) -> None:
        choice(self, "method", "eap", "mask-ig", "clean-corrupted", "exact", "random")
        choice(self, "grad_function", "logit", "prob", "logprob")
        choice(self, "loss_function", *LOSSES)
        choice(self, "patch_type", *PATCH_TYPES)
        choice(self, "by", "abs", "signed")
        choice(self, "selection", "top", "greedy")
        choice(self, "engine", "native", "auto-circuit")
        choice(self, "ablation_type", *ABLATION_WORDS)
        in_unit_interval(self, "target_performance")
        at_least(self, 1, "ig", "eap_batch_size")

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
