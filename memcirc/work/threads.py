"""How the threads of the products wait for the next one. It has to be said before torch is loaded."""

import os
import time
from contextlib import suppress
from pathlib import Path

SPINS = "10000"
"""Looks of a thread for more to do before it sleeps, a tenth of a millisecond: passes of small models have another
product for it by then, and to wake one takes longer than most of these."""
LOOKS, PAUSE = 3, 0.005
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def let_threads_wait(load: Path = Path("/proc/loadavg")) -> None:
    """Have idle threads spin for a moment where all cores are free, and sleep at once where others use them or nobody
    tells: there, threads that spin keep each other from the work. Nothing changes where one of ``VARIABLES`` is set.

    Args:
        load: the file in which Linux tells how many threads run, this one included.
    """
    if any(name in os.environ for name in VARIABLES):
        return
    others = _others(load)
    if others is not None and others + len(os.sched_getaffinity(0)) <= (os.cpu_count() or 1):
        os.environ["GOMP_SPINCOUNT"] = SPINS
    else:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"


def _others(load: Path) -> int | None:
    """The threads that run beside this one, at the least of a few looks; None where no file tells."""
    found = []
    for _ in range(LOOKS):
        time.sleep(PAUSE)
        with suppress(OSError, ValueError, IndexError):
            found.append(int(load.read_text(encoding="ascii").split()[3].partition("/")[0]) - 1)
    return min(found, default=None)
