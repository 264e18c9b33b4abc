"""Who is at work on a run directory? Advisory locks that the system lifts when their process ends, however it ends."""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memcirc.work.shards import Shard


@contextmanager
def at_work(run_dir: Path, shard: Shard | None = None) -> Iterator[None]:
    """Hold a run directory: alone, or together with the other shards of one job.

    Raises:
        ValueError: another process holds it (names it), or another one is this very shard.
    """
    with _held(run_dir / ".lock", fcntl.LOCK_EX if shard is None else fcntl.LOCK_SH, f"{run_dir} is at work"):
        if shard is None:
            yield
            return
        name = f".lock-{shard.index}-of-{shard.count}"
        with _held(run_dir / name, fcntl.LOCK_EX, f"shard {shard} of {run_dir} is at work"):
            yield


@contextmanager
def turn(run_dir: Path) -> Iterator[None]:
    """Holds a lock of the run's directory, once no other shard holds it, for work that one process does for all of
    them."""
    with _opened(run_dir / ".turn") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _held(path: Path, kind: int, what: str) -> Iterator[None]:
    with _opened(path) as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = path.read_text(encoding="utf-8").strip() or "another process"
            raise ValueError(
                f"{what}: {holder}; wait for it, choose another --run_dir, or share with --shard"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}\n".encode(), 0)
        yield


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield file
    finally:
        os.close(file)
