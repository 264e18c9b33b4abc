"""Where the parts of the embedded default lie."""

from pathlib import Path

from memcirc.demo.config import DemoConfig
from memcirc.demo.pair_folder import PairFolder


class Demo(PairFolder[DemoConfig]):
    """The folder of an embedded default, and the lengths it was made for."""

    @property
    def record_path(self) -> Path:
        """What was made, with which libraries, and how long it took; written last."""
        return self.folder / "demo.json"
