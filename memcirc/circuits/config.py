"""Configuration of the discovery stage."""

from dataclasses import dataclass

from memcirc.attribution.grids import GRIDS
from memcirc.attribution.methods import METHODS
from memcirc.config import above, at_least, check_fields, in_unit_interval, option
from memcirc.engines import ENGINES
from memcirc.interventions import ABLATIONS, MODES, Ablation, RunSettings
from memcirc.study import ABLATION_WORDS, MODE_WORDS


@dataclass(frozen=True)
class DiscoverConfig:
    """How edges are scored, and which circuit is the minimal one.

    Raises:
        ValueError: an unknown word, a target outside (0, 1], a count below 1.
    """

    method: str = option("mask-ig", "attribution method", choices=tuple(METHODS))
    steps: int = option(5, "integrated-gradient steps: k of mask-ig, m of eap-ig", flags=("--ig",))
    grid: str = option("0..m-1", "points of eap-ig-inputs: its authors' code, or their paper", choices=GRIDS)
    objective: str = option("logit_diff", "differentiable metric that attribution is about, or neg_ and one")
    metric: str = option("logit_diff", "metric whose faithfulness is kept", name="optimize_metric")
    target: float = option(
        0.85, "share of the full model's faithfulness that the minimal circuit keeps", flags=("--target_performance",)
    )
    ablation: str = option(
        "resample",
        "what ablated edges carry",
        choices=tuple(ABLATIONS),
        flags=("--ablation_type",),
        words=ABLATION_WORDS,
    )
    mode: str = option(
        "tree",
        "keep the circuit and ablate the rest, or patch it alone",
        choices=MODES,
        flags=("--patch_type",),
        words=MODE_WORDS,
    )
    reverse: bool = option(False, "exchange the base and the source prompt", flags=("--reverse_clean_corrupt",))
    by: str = option("abs", "rank edges by absolute or by signed score", choices=("abs", "signed"))
    selection: str = option("top", "highest scores, or greedy growth from the logits", choices=("top", "greedy"))
    scan: bool = option(True, "also measure the sizes below the one that bisection finds")
    also_under: str = option(
        "", "further ablations under which the minimal circuit is to reach the target too: zero,mean-clean"
    )
    refine: bool = option(False, "reduce the minimal circuit until no single edge can be spared")
    most_circuits: int = option(1000, "circuits that may be measured to refine one")
    engine: str = option("native", "who computes", choices=tuple(ENGINES))
    batch_size: int = option(16, "pairs in one attribution pass", name="eap_batch_size")
    seed: int = option(0, "seed of methods that draw: random, learned masks", name="attribution_seed")
    updates: int = option(300, "steps of learned masks (edge-pruning, uniform-gradient-sampling)", name="mask_updates")
    rate: float = option(0.1, "size of these steps, in logits", name="mask_rate")
    unit_pairs: int = option(64, "pairs in one unit of attribution, which is resumed or given to a worker as a whole")

    @property
    def further_ablations(self) -> tuple[str, ...]:
        """The ablations of ``also_under``."""
        return tuple(word.strip() for word in self.also_under.split(",") if word.strip())

    def way(self, mode: str) -> RunSettings:
        """How circuits of a mode are run. Against a twin, those of ``edge`` are taken out of the model (the smallest
        necessary circuit) where those of ``tree`` are all that is left in it (the smallest sufficient one)."""
        necessary = mode == "edge" and ABLATIONS[self.ablation].other_model
        return RunSettings(mode, self.ablation, self.reverse != necessary)

    def __post_init__(self) -> None:
        check_fields(self)
        from memcirc.metrics import DIFFERENTIABLE, Metric  # torch comes with it, which --help need not wait for

        Metric.parse(self.metric)
        Metric.parse(self.objective, DIFFERENTIABLE)
        in_unit_interval(self, "target")
        above(self, 0, "target")
        for ablation in self.further_ablations:
            Ablation.parse(ablation)
        at_least(self, 1, "steps", "updates", "batch_size", "unit_pairs", "most_circuits")
        above(self, 0, "rate")
        at_least(self, 0, "seed")
