"""Memory that tensors give up is kept for the next ones, by the command alone."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from memcirc.work.freed import keep_freed_memory
{asked}
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for size in (16, 33, 64):
    for _ in range(8):
        torch.ones(size << 20, dtype=torch.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="there is nothing to ask of another C library")
def test_pages_are_touched_seldom() -> None:
    """Tensors of some MiB, each given up before the next: fresh pages for each without it, for few with it."""
    fresh, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS.format(asked=asked)], capture_output=True, check=True).stdout)
        for asked in ("", "keep_freed_memory()")
    )
    assert kept < fresh / 2
