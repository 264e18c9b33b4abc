"""What verification found of one task's circuits, as the page asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from memcirc.interventions import RunSettings, principal
from memcirc.report.circuits import FoundCircuit
from memcirc.report.numbers import ends
from memcirc.statistics import usual
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.record import OfPairs, Record
from memcirc.verification.result import Verification
from memcirc.verification.transfer import Cell

FEWEST_PAIRS = 12
R = TypeVar("R", bound=Record)
P = TypeVar("P", bound=OfPairs)


@dataclass(frozen=True)
class Evidence:
    """What verification found of one task's circuits, which are given by mode, and what these do on other data."""

    task: str
    verification: Verification
    circuits: Mapping[str, FoundCircuit]
    elsewhere: tuple[Cell, ...] = ()

    def of(self, record: type[R]) -> tuple[R, ...]:
        """The records of a type."""
        return self.verification.of(record)

    def own(self, record: type[P]) -> tuple[P, ...]:
        """The records of a type under the headline ablation, in the direction in which their circuit was found."""
        return tuple(row for row in self.of(record) if self.is_own(row.way))

    def is_own(self, way: RunSettings) -> bool:
        """Whether a circuit that is run in this way is run as it was found: against a twin, one of mode edge is taken
        out."""
        found = self.circuits.get(way.mode)
        reverse = found.way.reverse if found else way.mode == "edge" and way.ablated.other_model
        return (way.ablation, way.reverse) == (self.ablation, reverse)

    def of_mode(self, mode: str) -> "Evidence":
        """The part that is about the circuit of one mode."""
        records = tuple(record for record in self.verification.records if record.mode == mode)
        circuits = {name: circuit for name, circuit in self.circuits.items() if name == mode}
        cells = tuple(cell for cell in self.elsewhere if cell.measured.mode == mode)
        part = replace(self.verification, records=records)
        return replace(self, verification=part, circuits=circuits, elsewhere=cells)

    def unusual(self, way: RunSettings, *values: float | None) -> str:
        """What must be said of normalised values where one lies far outside 0 to 1: the ends on the test pairs."""
        if usual(*values):
            return ""
        kind = (way.mode, way.ablation, way.reverse)
        own = (row.to_json() for row in self.of(Measurement) if (row.mode, row.ablation, row.reverse) == kind)
        told = next((f" on the test pairs {ends(row)}" for row in own), " its ends lie close together")
        return f"; far outside 0 to 1:{told}"

    @property
    def ablation(self) -> str:
        """The ablation that the headline numbers are of."""
        return headline(self.verification)

    @property
    def few_pairs(self) -> int | None:
        """How many test pairs there are, where they prove little; None where there are enough, or not known."""
        n = max((row.n_pairs for row in self.of(Measurement)), default=FEWEST_PAIRS)
        return n if n < FEWEST_PAIRS else None

    @property
    def modes(self) -> tuple[str, ...]:
        """The modes of the records, in their order."""
        return tuple(dict.fromkeys(record.mode for record in self.verification.records))


def headline(verification: Verification) -> str:
    """The ablation that the headline numbers of a verification are of."""
    return principal([row.ablation for row in verification.of(Measurement)])
