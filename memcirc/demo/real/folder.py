"""Where the parts of the planting in a real model lie."""

from pathlib import Path

from memcirc.demo.pair_folder import PairFolder
from memcirc.demo.real.config import RealConfig


class RealDemo(PairFolder[RealConfig]):
    """The folder of a real model with planted passages, and the lengths it was made for."""

    @property
    def shipped_dir(self) -> Path:
        """Hugging Face folder of the model as shipped, from which both others start."""
        return self.folder / "shipped"

    @property
    def held_out_path(self) -> Path:
        """Lines of ordinary English that neither model has seen here."""
        return self.folder / "held-out.jsonl"

    @property
    def record_path(self) -> Path:
        """What was made, with which libraries; written last."""
        return self.folder / "real.json"
