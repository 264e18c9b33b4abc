"""A sweep of a small model on pairs of one document."""

from dataclasses import replace

from memcirc.patching.sweep import patch_sweep
from memcirc.studies.sweep.config import SweepConfig
from memcirc.studies.sweep.places import Swept
from tests.models import random_pairs, small_model


def swept(sites: str, normalize: bool = True, direction: str = "denoise") -> Swept:
    model, pairs = small_model("gpt2"), random_pairs(3, (5, 4))
    pairs = replace(pairs, items=tuple(replace(pair, doc_id="one") for pair in pairs))
    named = sites.split(",") if "." in sites else sites
    sweep = patch_sweep(model, pairs, sites=named, normalize=normalize, direction=direction)
    config = SweepConfig("a model", "a file", sites=sites, normalize=normalize, direction=direction)
    return Swept(model, pairs, sweep, config)
