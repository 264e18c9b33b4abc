"""Is the Hugging Face hub there? Asked once, and briefly, before its client asks six times with pauses in between."""

from pathlib import Path

from huggingface_hub import (
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
