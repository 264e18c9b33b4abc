"""A folder that appears under its name only when it is whole."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(folder: Path, last: str) -> Iterator[Path]:
    """Yield a temporary sibling, which on success becomes `folder` and on any exception is removed; if another process
    was faster, its result stands.

    Args:
        last: name of a file without which a folder is not whole.

    Raises:
        OSError: something else has the folder's name.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield partial
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / last).is_file():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
