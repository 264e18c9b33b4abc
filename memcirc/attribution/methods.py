"""Attribution methods by name: how much would the objective fall if this edge carried its ablation value?

One signature for all; a positive score means that patching the edge lowers the objective, and a data set's score is
the mean over its pairs, whatever the batch size. Learned masks have one score for the whole set: how long an edge is
kept while the circuit shrinks. Each module holds what its method computes, with its source. A new one is such a module
and a line here; nothing is imported until a method is used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memcirc.attribution.method import Method

METHODS = {
    "eap": "mask_gradients:EAP",
    "mask-ig": "mask_gradients:MASK_IG",
    "clean-corrupted": "mask_gradients:CLEAN_CORRUPTED",
    "eap-ig-inputs": "eap_ig_inputs:METHOD",
    "eap-ig-activations": "eap_ig_activations:METHOD",
    "relp": "relp:METHOD",
    "magnitude": "magnitude:METHOD",
    "edge-pruning": "learned_masks:EDGE_PRUNING",
    "uniform-gradient-sampling": "learned_masks:UNIFORM_GRADIENT_SAMPLING",
    "exact": "exact:METHOD",
    "random": "noise:METHOD",
}


def method_named(name: str) -> "Method":
    """The method; ValueError for a name that none has."""
    if name not in METHODS:
        raise ValueError(f"method {name!r} is not known; accepted: {', '.join(METHODS)}")
    module, _, attribute = METHODS[name].partition(":")
    method: Method = getattr(importlib.import_module(f"memcirc.attribution.{module}"), attribute)
    return method
