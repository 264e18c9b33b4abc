"""The cached embedded default: made once, found again by what determines it.

The folder's name ends in a fingerprint of the configuration, of this package's source and of the libraries that train.
It is made under a temporary name and renamed when whole, so an interrupted build is never taken for a finished one.
"""

import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from memcirc.demo.config import DemoConfig

LIBRARIES = ("tokenizers", "torch", "transformers")
CORPUS, MODEL, RECORD = "corpus.jsonl", "model", "demo.json"


@dataclass(frozen=True)
class Demo:
    """Where the embedded default lies, and the lengths it was made for."""

    folder: Path
    config: DemoConfig
    fingerprint: str

    @property
    def corpus_path(self) -> Path:
        """Lines of `text` and `meta`, a line per copy."""
        return self.folder / CORPUS

    @property
    def model_dir(self) -> Path:
        """Hugging Face folder: weights, config, tokenizer."""
        return self.folder / MODEL

    @property
    def prompt_tokens(self) -> int:
        return self.config.prompt_tokens

    @property
    def generation_tokens(self) -> int:
        return self.config.generation_tokens


def ensure(cache_dir: Path, seed: int = 0, progress: bool | None = None, config: DemoConfig | None = None) -> Demo:
    """Find the embedded default in `cache_dir`, or make it there.

    Args:
        cache_dir: folder that holds the defaults of any number of seeds and versions; made if missing.
        seed: of corpus and training; replaces the seed of `config`.
        progress: whether to show a progress bar; by default where stderr is a terminal.
        config: other sizes than the default ones.
    """
    config = replace(config or DemoConfig(), seed=seed)
    fingerprint = fingerprint_of(config)
    folder = Path(cache_dir) / f"demo-{fingerprint}"
    if not (folder / RECORD).is_file():
        make(config, fingerprint, folder, sys.stderr.isatty() if progress is None else progress)
    return Demo(folder, config, fingerprint)


def make(config: DemoConfig, fingerprint: str, folder: Path, progress: bool) -> None:
    """Build in a temporary sibling of `folder` and rename; if another process was faster, its result stands."""
    from memcirc.demo.building import build

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        start = time.perf_counter()
        build(config, partial / CORPUS, partial / MODEL, progress)
        record = {
            "config": asdict(config),
            "fingerprint": fingerprint,
            "libraries": {name: version(name) for name in LIBRARIES},
            "seconds": round(time.perf_counter() - start, 1),
        }
        (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        try:
            partial.rename(folder)
        except OSError:
            if not (folder / RECORD).is_file():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fingerprint_of(config: DemoConfig) -> str:
    """First 12 hex digits of a SHA-256 over all that determines corpus and model."""
    digest = sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for name in LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
