"""Memory that tensors give up is kept for the next ones, by the command alone."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from memcirc.devices import keep_freed_memory
{asked}
def fill():
    torch.ones(64 << 20, dtype=torch.uint8)
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to ask of another C library")
def test_pages_are_touched_once() -> None:
    """Four tensors of 64 MiB after a first one: 65,536 pages of 4 KiB where each gets fresh ones (fewer that are
    larger, where the system gives those)."""
    fresh, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS.format(asked=asked)], capture_output=True, check=True).stdout)
        for asked in ("", "keep_freed_memory()")
    )
    assert kept < fresh / 4
