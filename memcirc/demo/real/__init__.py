"""A real pretrained model with memories of which the ground truth is known, and its twin without them.

SmolLM2-135M comes from a wheel of the package index, ordinary English from this installation of Python; passages of the
embedded default's grammars are planted in it, and both models are trained on from the model as shipped.
"""

from memcirc.demo.real.config import RealConfig
from memcirc.demo.real.ensuring import ensure_real
from memcirc.demo.real.folder import RealDemo

__all__ = ["RealConfig", "RealDemo", "ensure_real"]
