"""One study from its options."""

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from memcirc.artifacts import StageFolder
from memcirc.devices import resolve_device
from memcirc.options import build
from memcirc.pretrained import load_quietly
from memcirc.studies.config import STUDIES

RESULTS = ("patches.parquet", "results.json")
"""What every study leaves in its folder."""


def run_study(
    name: str, run_dir: Path, options: Mapping[str, Any], force: bool
) -> tuple[Path, dict[str, Any], str, dict[str, float]]:
    """Run a study; returns its page, its resolved configuration, the device and the seconds it took. With the same
    options it is measured anew, from what it has kept.

    Raises:
        Changed: the directory holds the same study finished with other options, and it is not forced.
    """
    config: Any = build(STUDIES[name][0], options)
    device, folder = str(resolve_device(config.device)), StageFolder(run_dir / name)
    settings = {key: value for key, value in asdict(config).items() if key != "device"}
    if force:
        folder.marker.unlink(missing_ok=True)
    else:
        folder.is_done(settings, [])
    load_quietly()
    start = time.perf_counter()
    run = getattr(import_module(f"memcirc.studies.{name}.study"), f"run_{name}")
    page = run(run_dir, config, force, sys.stderr.isatty())
    seconds = time.perf_counter() - start
    folder.finish(settings, [], [folder.path / file for file in RESULTS], seconds)
    return page, asdict(config), device, {name: seconds}
