"""The native factorized engine: attribution and circuit runs at the cost of plain forward passes.

It reads a loaded model once into plain weights (``weights``) and computes with functions, without hooks: a uniform
mask on all edges is a plain forward pass with interpolated branch inputs (``tape``), all edges' scores are one matrix
product a layer (``sheet``, ``backward``), and a circuit is a forward pass over what it keeps (``plan``, ``circuits``).
"""

from memcirc.decoder.families import check
from memcirc.engine.mask_gradients import mask_gradients
from memcirc.engine.prepared import Prepared, prepare
from memcirc.engine.request import Request

__all__ = ["Prepared", "Request", "check", "mask_gradients", "prepare"]
