"""The studies and their configurations; cheap to import."""

from memcirc.patching.ioi.config import IoiConfig

STUDIES: dict[str, tuple[type, str]] = {
    "ioi": (IoiConfig, "one model, clean and corrupt prompts: where is it kept who is given something?"),
}
