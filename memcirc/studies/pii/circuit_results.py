"""What the PII study finds of the circuits of its injected records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from memcirc.verification.faithfulness import Measurement
from memcirc.verification.removal import Removal


@dataclass(frozen=True)
class FoundCircuit:
    """The smallest prefix of the ranking that reaches the target on validation records.

    ``edges`` by name; ``validation`` its faithfulness on the records that it was sized on, ``test`` on those that it
    was neither found nor sized on; ``curve`` the faithfulness of the ranking's first n edges on these, by n (empty
    where none was asked for). Faithfulness of a sufficient circuit is what it keeps, of a necessary one what goes with
    it.
    """

    edges: tuple[str, ...]
    validation: float
    test: Measurement
    curve: Mapping[int, float]

    @property
    def left(self) -> float | None:
        """Of a necessary circuit: what its removal leaves on the test records; None where that is not defined."""
        return None if self.test.faithfulness is None else 1 - self.test.faithfulness


@dataclass(frozen=True)
class OtherSplit:
    """The circuits found anew on another split: the sizes of both, what the sufficient one keeps (``kept``) and what
    the necessary one leaves when it is taken out (``left``), on that split's test records; ``shared``: the Jaccard
    overlap of the necessary one with that of the first split."""

    seed: int
    sufficient: int
    kept: float | None
    necessary: int
    left: float | None
    shared: float


@dataclass(frozen=True)
class GroupKept:
    """Injected records of one number of copies or one type of value, ``n_found_on`` of them for finding or sizing the
    circuits. ``kept``: what the sufficient circuit keeps of the difference that the group's means have between target
    and control, ``left``: what is left of it without the necessary one; None where there is none."""

    by: str
    group: str
    n_records: int
    n_found_on: int
    kept: float | None
    left: float | None


@dataclass(frozen=True)
class Suppressed:
    """Free generation from one kind of text, the necessary circuit taken out by the control's values: shares of the
    records that go on exactly as in truth ``before`` and ``after``, and of those that go on as before, token for token
    (``unchanged``; ``unchanged_everything`` with every edge taken out, which is the control up to its last norm and
    unembedding)."""

    text: str
    n_records: int
    before: float
    after: float
    unchanged: float
    unchanged_everything: float


@dataclass(frozen=True)
class PlaceCount:
    """How many edges have something in common, ``place``, of all and of either circuit. ``by``: the layer that writes
    or that reads, or the kinds of both ends."""

    by: str
    place: str
    n_edges: int
    sufficient: int
    necessary: int


@dataclass(frozen=True)
class InjectedCircuits:
    """The circuits of the records that the target alone recites.

    ``n_records`` by split, ``n_edges`` of the whole graph, ``target`` what both circuits were to reach; ``removal`` the
    losses of each kind of text, and ``suppression`` what is said there, without the necessary circuit; ``warning`` of
    models that share no basis, None of others.
    """

    n_records: Mapping[str, int]
    n_edges: int
    target: float
    sufficient: FoundCircuit
    necessary: FoundCircuit
    other_splits: Sequence[OtherSplit]
    groups: Sequence[GroupKept]
    places: Sequence[PlaceCount]
    removal: Sequence[Removal]
    suppression: Sequence[Suppressed]
    warning: str | None


@dataclass(frozen=True)
class NoCircuits:
    """Why there are none."""

    reason: str
