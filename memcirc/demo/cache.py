"""The cached embedded default: made once, found again by what determines it.

The folder's name ends in a fingerprint of the configuration, of this package's source and of the libraries that train.
It is made under a temporary name and renamed when whole, so an interrupted build is never taken for a finished one.
"""

import json
import sys
import time
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from memcirc.demo.config import DemoConfig
from memcirc.demo.folder import Demo
from memcirc.demo.whole_folder import whole_folder

LIBRARIES = ("tokenizers", "torch", "transformers")


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
    demo = Demo(Path(cache_dir) / f"demo-{fingerprint}", config, fingerprint)
    if not demo.record_path.is_file():
        make(demo, shown(progress))
    return demo


def make(demo: Demo, progress: bool) -> None:
    """Build all parts of the default."""
    from memcirc.demo.building import build

    with whole_folder(demo.folder, demo.record_path.name) as partial:
        start = time.perf_counter()
        made = replace(demo, folder=partial)
        build(made, progress)
        record = {
            "config": asdict(demo.config),
            "fingerprint": demo.fingerprint,
            "libraries": {name: version(name) for name in LIBRARIES},
            "seconds": round(time.perf_counter() - start, 1),
        }
        made.record_path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def ensure_null_twin(demo: Demo, progress: bool | None = None) -> Path:
    """Find beside the twin, or make there, a second one that differs from it in nothing but the order of its lines:
    between the two nothing was learned. A Hugging Face folder."""
    folder = demo.folder / "null-twin"
    if not folder.is_dir():
        from memcirc.demo.building import build_null_twin

        with whole_folder(folder, "config.json") as partial:
            build_null_twin(demo, partial, shown(progress))
    return folder


def shown(progress: bool | None) -> bool:
    """Whether there is a bar: where it is not said, on a terminal."""
    return sys.stderr.isatty() if progress is None else progress


def fingerprint_of(config: DemoConfig) -> str:
    """First 12 hex digits of a SHA-256 over all that determines corpus and models."""
    digest = sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for name in LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
