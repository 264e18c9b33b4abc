"""The studies and their configurations; cheap to import."""

from memcirc.studies.ioi.config import IoiConfig
from memcirc.studies.latent.config import LatentConfig
from memcirc.studies.pii.config import PiiConfig
from memcirc.studies.sweep.config import SweepConfig

STUDIES: dict[str, tuple[type, str]] = {
    "ioi": (IoiConfig, "one model, clean and corrupt prompts: where is it kept who is given something?"),
    "pii": (PiiConfig, "two models, one of which knows personal data: where does it keep them?"),
    "latent": (LatentConfig, "a model that thinks in vectors: which latent step carries the answer?"),
    "sweep": (SweepConfig, "one sweep on pairs of prompts of your own"),
}
