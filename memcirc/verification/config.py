"""Configuration of the verification stage."""

from dataclasses import dataclass

from memcirc.config import at_least, option
from memcirc.engines import ENGINES
from memcirc.interventions import ABLATIONS, MODES, VERIFIED
from memcirc.study import ABLATION_WORDS, MODE_WORDS
from memcirc.verification.checks import CHECKS, DEFAULT_CHECKS, known_checks
from memcirc.verification.settings import CheckSettings


@dataclass(frozen=True)
class VerifyConfig(CheckSettings):
    """What is verified, and how. Without further options: the run's own circuits on its test split.

    Raises:
        ValueError: an unknown word, or a count below 1.
    """

    scores_path: str = option(
        "", "file of edge scores, as memcirc saves them, in place of the run's own", flags=("--prune_scores_path",)
    )
    n_edges: int | None = option(None, "size of the circuit in place of the minimal one", flags=("--edge_count",))
    pairs_path: str = option("", "file of pairs in place of the run's test split", flags=("--dataset_path",))
    n_pairs: int | None = option(None, "use the first pairs only", flags=("--dataset_size",))
    ablation: str = option(
        "all", "what ablated edges carry", choices=("all", *ABLATIONS), flags=("--ablation_type",), words=ABLATION_WORDS
    )
    mode: str = option(
        "all", "ways to run the circuit", choices=("all", *MODES), flags=("--patch_type",), words=MODE_WORDS
    )
    reverse: str = option(
        "all",
        "exchange the base and the source prompt; all is both",
        choices=("all", "yes", "no"),
        flags=("--reverse_clean_corrupt",),
    )
    checks: str = option(
        "default",
        "default, full, or names separated by commas: "
        + "; ".join(f"{name} ({check.about})" for name, check in CHECKS.items()),
    )
    n_passages: int = option(24, "passages of each sort in the checks on running text", flags=("--passages",))
    engine: str = option("native", "who computes", choices=tuple(ENGINES))

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "n_random", "n_passages")
        if not known_checks(self.chosen_checks, "default", "full"):
            raise ValueError(f"checks {self.checks!r} name none; accepted: default, full, {', '.join(CHECKS)}")
        for name in ("n_edges", "n_pairs"):
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
        return VERIFIED if self.ablation == "all" else (self.ablation,)

    @property
    def modes(self) -> tuple[str, ...]:
        return MODES if self.mode == "all" else (self.mode,)

    @property
    def directions(self) -> tuple[bool, ...]:
        return {"all": (False, True), "yes": (True,), "no": (False,)}[self.reverse]
