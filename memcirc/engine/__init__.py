"""The native factorized engine: attribution and circuit runs at the cost of plain forward passes."""

from memcirc.engine.attribution import mask_gradients
from memcirc.engine.prepared import Prepared, prepare

__all__ = ["Prepared", "mask_gradients", "prepare"]
