"""How long the sweeps of a study may take."""

import time
from pathlib import Path

from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.patching.prompts import prompts_of


def seconds_of(model: Model, pairs: Pairs, share: float = 1.0) -> float:
    """About how many seconds it takes to write one place of a run into another's: a plain pass over the pairs, of which
    the blocks below the place are spared, on average half of them.

    Args:
        share: of the tokens those that are run: none before the first that differs, where both runs are of one model.
    """
    ids = prompts_of(model, pairs)[0].ids
    for _ in range(2):  # the first pass reads the weights
        start = time.perf_counter()
        model.logits(ids)
    return (time.perf_counter() - start) * share / 2


def less_kept(folder: Path | None) -> str:
    """What an estimate ends with where an earlier command has kept sweeps."""
    return ", less what is kept" if folder is not None and any(folder.glob("*.safetensors")) else ""


def in_minutes(seconds: float) -> str:
    """Seconds as they are told: whole minutes from one and a half on."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
