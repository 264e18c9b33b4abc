"""Rows of a data set on the Hugging Face hub, or of a local clone of one, streamed by the `datasets` library."""

import codecs
from collections.abc import Iterator
from pathlib import Path

from memcirc.config import in_one_line
from memcirc.corpus.files import Row
from memcirc.corpus.subsets import MIXED_DATASET, PILE_SUBSETS

NEEDS_SCRIPT = f"needs a loading script, which `datasets` no longer runs: use {MIXED_DATASET!r}"
DEAD_DATASETS = {"EleutherAI/pile": NEEDS_SCRIPT, "the_pile": NEEDS_SCRIPT}
WITHOUT_SUBSETS = {
    "EleutherAI/the_pile_deduplicated": f"does not say which subset a document is from: use {MIXED_DATASET!r}"
}
ACCEPTED = (
    "accepted are a local file or folder, the name of a data set on the hub if that can be reached, and a Pile subset: "
    + ", ".join(PILE_SUBSETS)
)


def is_clone(folder: Path) -> bool:
    """Whether a local folder is laid out as on the hub: it has git's attributes, or a README that is a data card, which
    begins with its YAML block (or is empty), and no notes of the user's own."""
    card = folder / "README.md"
    if (folder / ".gitattributes").is_file():
        return True
    return card.is_file() and (
        not card.stat().st_size or card.read_bytes().removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"---")
    )


def rows_of_dataset(name: str, split: str | None = None, subset: str | None = None) -> Iterator[tuple[str, Row]]:
    """(place, row) for every row of a split; without `split`, of `train` or of the only one.

    Raises:
        FileNotFoundError: the data set is not found, or the hub is not reached.
        ValueError: a split that it does not have, a broken file, a data set that cannot serve what is asked, or a cache
            that cannot be written.
    """
    refusal = DEAD_DATASETS.get(name) or (WITHOUT_SUBSETS.get(name) if subset else None)
    if refusal:
        raise ValueError(f"data set {name!r} {refusal}")

    import datasets
    import zstandard
    from huggingface_hub.errors import HFValidationError

    broken = (datasets.exceptions.DatasetsError, zstandard.ZstdError, EOFError, RuntimeError, StopIteration, ValueError)
    try:
        splits = datasets.load_dataset(name, streaming=True)
    except (OSError, HFValidationError) as error:
        if is_of_the_cache(error, name):
            raise ValueError(
                f"data set {name!r}: the cache cannot be written ({in_one_line(error)}); set HF_HOME, or "
                "HF_DATASETS_CACHE, to a folder that can"
            ) from None
        raise FileNotFoundError(f"data set {name!r} not found ({in_one_line(error)}): {ACCEPTED}") from None
    except broken as error:
        raise ValueError(f"data set {name!r} cannot be read ({in_one_line(error)})") from None

    only = next(iter(splits)) if len(splits) == 1 else "train"
    chosen = split or only
    if chosen not in splits:
        raise ValueError(f"data set {name!r} has no split {chosen!r}: accepted are {', '.join(map(str, splits))}")
    number = 0
    try:
        for number, row in enumerate(splits[chosen], start=1):
            yield f"{name}, row {number}", row
    except broken as error:
        cause = in_one_line(error.__cause__ or error)
        raise ValueError(f"data set {name!r} cannot be read after row {number} ({cause})") from None


def is_of_the_cache(error: Exception, name: str) -> bool:
    """Whether the system refused a file, and not one of the data set itself, which may be a folder of this name."""
    place = getattr(error, "filename", None)
    return place is not None and not Path(str(place)).is_relative_to(name)
