"""The embedded default: a corpus in the Pile's shape and a small language model trained on it, made on first use.

Nothing is downloaded: the text comes from grammars of our own, the model learns it from scratch within about a minute
on two cores, and both are kept in a cache.
"""

from memcirc.demo.cache import Demo, ensure
from memcirc.demo.config import DemoConfig
from memcirc.demo.lines import read_planted
from memcirc.demo.planting import Planted

__all__ = ["Demo", "DemoConfig", "Planted", "ensure", "read_planted"]
