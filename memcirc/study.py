"""The words of the memorization study and of AutoCircuit, mapped to the library's; here and nowhere else.

Their names of settings are spellings of our options (``flags`` of a configuration's field); their words for values, and
the two functions that they make an objective of, are here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from memcirc.config import check_fields, option

ABLATION_WORDS = {
    "RESAMPLE": "resample",
    "ZERO": "zero",
    "TOKENWISE_MEAN_CLEAN": "mean-clean",
    "TOKENWISE_MEAN_CORRUPT": "mean-corrupt",
    "TOKENWISE_MEAN_CLEAN_AND_CORRUPT": "mean-both",
}
MODE_WORDS = {"TREE_PATCH": "tree", "EDGE_PATCH": "edge"}
LOSSES = {"logit_diff": "diff", "avg_diff": "diff", "logit": "answer", "avg_val": "answer"}
VALUES = ("logit", "prob", "logprob")


@dataclass(frozen=True)
class TwoFunctions:
    """An objective as the study says it: a function of a token and a function of the answers.

    Raises:
        ValueError: an unknown word.
    """

    grad_function: str = option("logit", "the objective's value of a token", choices=VALUES)
    loss_function: str = option(
        "logit_diff", "the objective: answer minus wrong answer, or the answer alone", choices=tuple(LOSSES)
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def objective(self) -> str:
        """The same as one of our metrics."""
        value = self.grad_function
        return f"{value}_diff" if LOSSES[self.loss_function] == "diff" else f"answer_{value}"

    @classmethod
    def of(cls, objective: str) -> "TwoFunctions":
        """The two functions of one of our metrics; those of ``logit_diff`` for one that they do not make."""
        made = (cls(value, loss) for value in VALUES for loss in ("logit_diff", "logit"))
        return next((two for two in made if two.objective == objective), cls())


def with_objective(given: Mapping[str, Any], before: str = "logit_diff") -> dict[str, Any]:
    """Options in which the study's two functions are our ``objective``; one that is not given is that of ``before``.

    Raises:
        ValueError: the objective is given as well, or an unknown word.
    """
    names = {f.name for f in fields(TwoFunctions)} & given.keys()
    rest = {name: value for name, value in given.items() if name not in names}
    if not names:
        return rest
    if "objective" in rest:
        raise ValueError(f"objective {rest['objective']!r} with {' and '.join(sorted(names))}; leave one out")
    two = replace(TwoFunctions.of(before), **{name: given[name] for name in names})
    return {"objective": two.objective, **rest}
