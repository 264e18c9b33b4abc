"""Memory that tensors on the CPU give up is kept for the next ones."""

import ctypes
from contextlib import suppress

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Of glibc's ``mallopt``: how much that is free at the end of the heap is kept, and from which size on an allocation
gets pages of its own."""
KEPT_BYTES = 256 << 20


def keep_freed_memory() -> None:
    """Have this process keep what is freed at the end of its heap, up to 256 MiB, and take tensors up to that size from
    there: by default large ones get fresh pages each time, whose first touch is slow (a fifth of the time of a sweep).
    Nothing changes without glibc, or with one that refuses such a size."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        if mallopt(MMAP_THRESHOLD, KEPT_BYTES):
            mallopt(TRIM_THRESHOLD, KEPT_BYTES)
