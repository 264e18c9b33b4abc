"""The checks by name: what verification measures of a circuit, and what a sceptic would ask next.

A check is a module of this folder with its records and their :class:`memcirc.verification.check.Work`, a module of its
name in ``report/checks/`` with what a page shows of it, and a line here. Nothing is imported until a check is used.
"""

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memcirc.verification.check import Work


@dataclass(frozen=True)
class Check:
    """A check: the module that holds its ``WORK``, what it measures, and whether it is made unless told otherwise."""

    home: str
    about: str
    by_default: bool = False

    @property
    def work(self) -> "Work":
        """Its records and jobs, imported now."""
        work: Work = importlib.import_module(f"memcirc.verification.{self.home}").WORK
        return work


CHECKS = {
    "removal": Check("removal", "taken out by the twin's values, by kind of text (of a model with a twin)", True),
    "edges": Check("edges", "which edges carry more of memorized passages than of other text (with a twin)", True),
    "faithfulness": Check("faithfulness", "every ablation and direction, the spread over pairs", True),
    "trivial": Check("trivial", "does it do more than carry the differing token in?", True),
    "curve": Check("curves", "the ranking's prefixes over a grid of sizes", True),
    "random": Check("random_circuits", "random circuits of the same size, of every kind", True),
    "dose": Check("dose", "by copies in the corpus", True),
    "refinement": Check("refinement", "a refined circuit beside the prefix that it was cut from", True),
    "stability": Check("stability", "over documents, resamples and splits", True),
    "certificates": Check("certificates", "edges that no few documents can move in or out", True),
    "groups": Check("groups", "circuits of parts of the pairs: by copies, by subset, of half of the documents", True),
    "specificity": Check("specificity", "other text, copying: a double dissociation", True),
    "specific": Check("specific", "is there a circuit that memorized text alone needs?"),
    "generation": Check("generation", "recitation under the circuit"),
    "tests": Check("hypotheses", "the circuit hypothesis"),
    "knockout": Check("knockout", "completeness, necessity, back-ups"),
    "methods": Check("method_overlaps", "circuits of other methods and selections"),
    "time": Check("time_resolved", "circuits of later tokens"),
}
DEFAULT_CHECKS = tuple(name for name, check in CHECKS.items() if check.by_default)


def known_checks(chosen: tuple[str, ...], *further: str) -> tuple[str, ...]:
    """The names as they were given.

    Args:
        further: words that the message lists as accepted before the checks.

    Raises:
        ValueError: one is no check.
    """
    unknown = [name for name in chosen if name not in CHECKS]
    if unknown:
        raise ValueError(f"check {unknown[0]!r} is not known; accepted: {', '.join((*further, *CHECKS))}")
    return chosen
