"""Is the Hugging Face hub there? Asked once, and briefly, before its client asks six times with pauses in between."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import (
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.file_download import repo_folder_name

from memcirc.config import in_one_line

PATIENCE = 3.0
BESIDE_WEIGHTS = ("*.json", "*.txt", "*.model", "*.jinja")
SERVER_ERROR = 500


def only_cached(name: str, file: str = "config.json", repo_type: str = "model") -> bool:
    """Whether all that can be had of a name on the hub is what is cached here: the hub is switched off
    (``HF_HUB_OFFLINE``), or does not answer one request within ``PATIENCE`` seconds.

    Args:
        file: a file that whatever goes by the name has, such as ``README.md`` of a data set.
        repo_type: ``model`` or ``dataset``.

    Raises:
        FileNotFoundError: the name is none that the hub could have, or nothing of it is cached either.
    """
    try:
        answered = _answers(hf_hub_url(name, file, repo_type=repo_type))
    except HFValidationError:
        raise FileNotFoundError("no name of the hub, which are NAME or OWNER/NAME") from None
    snapshots = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=name, repo_type=repo_type), "snapshots")
    if not answered and not any(snapshots.glob("*/*")):
        raise FileNotFoundError("the hub is not reached, and nothing by that name is cached here")
    return not answered


def snapshot(name: str, revision: str) -> Path:
    """The folder with the files of a model on the hub at a revision (a branch, tag or commit), fetched where it is not
    cached; weights as safetensors where there are such.

    Raises:
        FileNotFoundError: a folder of this machine, which has no revisions; neither on the hub nor cached.
    """
    if Path(name).exists():
        raise FileNotFoundError(f"{name!r} is a folder, and has no revision {revision!r}; give the folder of that one")
    for weights in ("*.safetensors", "pytorch_model*.bin"):
        try:
            folder = Path(
                snapshot_download(
                    name,
                    revision=revision,
                    cache_dir=constants.HF_HUB_CACHE,
                    allow_patterns=[weights, *BESIDE_WEIGHTS],
                    local_files_only=only_cached(name),
                )
            )
        except (FileNotFoundError, HfHubHTTPError) as error:
            raise FileNotFoundError(
                f"model {name!r} at revision {revision!r} is neither cached here nor to be had from the hub "
                f"({in_one_line(error)})"
            ) from None
        if any(folder.glob(weights)):
            break
    return folder


def part_of_snapshot(name: str, revision: str | None, file: str, patterns: Sequence[str]) -> Path:
    """The folder with some files of a repository on the hub, fetched where it is not cached.

    Args:
        file: one that every such repository has.
        patterns: of the files that are wanted.

    Raises:
        FileNotFoundError: neither a folder here, nor on the hub or cached; the reason is named.
    """
    try:
        cached = only_cached(name, file)
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=constants.HF_HUB_CACHE,
                allow_patterns=list(patterns),
                local_files_only=cached,
            )
        )
    except (FileNotFoundError, HfHubHTTPError) as error:
        raise FileNotFoundError(
            f"{name!r} is no folder here, and neither cached nor to be had from the hub ({in_one_line(error)})"
        ) from None


def upload(folder: Path, name: str, private: bool, mark: str, stale: Sequence[str]) -> None:
    """Put a folder's files into a repository of the hub, which is made where there is none.

    Args:
        private: of a repository that is made here.
        mark: a file that tells a repository of this kind from another, which is left alone.
        stale: patterns of files that are removed there unless the folder has them.

    Raises:
        ValueError: a repository of something else; the hub does not take the files (the reason is named).
    """
    api = HfApi()
    try:
        api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        there = set(api.list_repo_files(name, repo_type="model")) - {".gitattributes", "README.md"}
        if there and mark not in there:
            raise ValueError(f"it holds {min(there)} and no {mark}, so it is of something else")
        api.upload_folder(
            folder_path=folder, repo_id=name, repo_type="model", commit_message="memcirc publish",
            delete_patterns=list(stale),
        )  # fmt: skip
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ValueError(f"{name!r}: not uploaded ({in_one_line(error)}); {folder} is ready for another try") from None


def check_name(name: str) -> None:
    """Raises ValueError for what is no OWNER/NAME of a repository."""
    try:
        hf_hub_url(name, "README.md")
        named = name.count("/") == 1
    except HFValidationError:
        named = False
    if not named:
        raise ValueError(f"{name!r} is no name of a repository of the hub; accepted: OWNER/NAME")


def cached_revision(name: str) -> str | None:
    """The commit of the model that is cached here by that name on the hub; None where there is none."""
    path = try_to_load_from_cache(name, "config.json", cache_dir=constants.HF_HUB_CACHE)
    return Path(path).parent.name if isinstance(path, str) else None


def _answers(url: str) -> bool:
    """Whether the hub says anything about a file, be it that there is none."""
    try:
        get_hf_file_metadata(url, timeout=PATIENCE)
    except HfHubHTTPError as error:
        return error.response.status_code < SERVER_ERROR
    except Exception:  # whatever the hub's client of the day raises where there is no answer
        return False
    return True
