"""One study from its options."""

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from memcirc.devices import resolve_device
from memcirc.options import build
from memcirc.pretrained import load_quietly
from memcirc.studies.config import STUDIES


def run_study(
    name: str, run_dir: Path, options: Mapping[str, Any], force: bool
) -> tuple[Path, dict[str, Any], str, dict[str, float]]:
    """Run a study; returns its page, its resolved configuration, the device and the seconds it took."""
    config: Any = build(STUDIES[name][0], options)
    device = str(resolve_device(config.device))
    load_quietly()
    start = time.perf_counter()
    run = getattr(import_module(f"memcirc.studies.{name}.study"), f"run_{name}")
    page = run(run_dir, config, force, sys.stderr.isatty())
    return page, asdict(config), device, {name: time.perf_counter() - start}
