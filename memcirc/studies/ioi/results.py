"""What the IOI study finds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from memcirc.patching.direct import DirectEffects
from memcirc.patching.result import Sweep
from memcirc.patching.screen import ScreenCheck
from memcirc.studies.ioi.prompts import IoiPair


@dataclass(frozen=True)
class Screened:
    """A screen of one sweep: correlation of its estimates with the exact effects over all patches and examples, with
    and without the QK fix, and what verifying its top would have said."""

    sweep: str
    with_fix: float
    without_fix: float
    grad_drop: float
    verification: ScreenCheck


@dataclass(frozen=True)
class IoiResults:
    """What was measured on one model.

    ``correct`` and ``logit_diff`` by split of the prompts, ``selftest`` by name, ``sweeps`` by sweep and direction,
    ``attention`` of the strongest heads, ``top_tokens`` what the model says after each prompt with its probability,
    ``factual`` a sweep of the user's own prompt pair, None without one.
    """

    pairs: Sequence[IoiPair]
    correct: dict[str, float]
    logit_diff: dict[str, float]
    selftest: dict[str, float]
    sweeps: Mapping[str, Sweep]
    direct: DirectEffects
    attention: Mapping[str, np.ndarray]
    position_labels: Sequence[str]
    top_tokens: Mapping[str, Sequence[tuple[str, float]]]
    screens: Sequence[Screened]
    factual: Sweep | None
    factual_labels: Sequence[str]
