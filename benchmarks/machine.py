"""What a measurement was made on, and what else that machine did meanwhile."""

import os
import platform
import resource
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

LIBRARIES = ("torch", "transformers", "numpy", "transformer-lens", "auto-circuit")
BUSY = 0.25
"""Cores at work for others from which on a row is marked as measured under load."""


def machine() -> dict[str, Any]:
    """Processor, cores, memory, load of the last minute, device and library versions (None: not installed)."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load": round(os.getloadavg()[0], 2),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "python": platform.python_version(),
        "versions": {name: installed_version(name) for name in LIBRARIES},
    }


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def has_peer(package: str) -> bool:
    """Whether a peer can be measured; a line says so where it cannot."""
    if find_spec(package) is not None:
        return True
    print(f"{package} is not installed: its times are left out, the rest is measured")
    return False


def busy_seconds() -> float:
    """Seconds that the cores of this machine have worked, stolen ones included, since it started."""
    user, nice, system, _, _, irq, soft, stolen = map(int, Path("/proc/stat").read_text(encoding="ascii").split()[1:9])
    return (user + nice + system + irq + soft + stolen) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Seconds of processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Meter:
    """Counts how many cores worked for other processes, from one reading to the next."""

    def __init__(self) -> None:
        self._last = self._now()
        self._others = 0.0

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.monotonic(), busy_seconds() - own_seconds()

    def others(self) -> float:
        """Cores at work for others since the last reading; readings within a second of each other agree."""
        now = self._now()
        if now[0] - self._last[0] >= 1:
            self._others = max(0.0, (now[1] - self._last[1]) / (now[0] - self._last[0]))
            self._last = now
        return self._others


METER = Meter()
