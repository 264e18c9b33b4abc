"""The embedded default: a corpus in the Pile's shape, a small language model trained on it, and the same model without
what was planted (its twin), made on first use.

Nothing is downloaded: the text comes from grammars of our own, the models learn it from scratch within two minutes on
two cores, and all is kept in a cache.
"""

from memcirc.demo.cache import ensure, ensure_null_twin
from memcirc.demo.config import DemoConfig
from memcirc.demo.folder import Demo
from memcirc.demo.lines import read_planted
from memcirc.demo.planting import Planted

__all__ = ["Demo", "DemoConfig", "Planted", "ensure", "ensure_null_twin", "read_planted"]
