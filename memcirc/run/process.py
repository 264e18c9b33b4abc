"""What a command owes the shell: output that nothing breaks, and an end that is told from a fault."""

import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

PATIENCE = 0.5


class Arrived(list[int]):
    """The signals that have asked for an end. Once that is ``answered``, none interrupts any more."""

    answered = False


@contextmanager
def stoppable() -> Iterator[Arrived]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt, where nobody else handles or ignores them; yields the list of
    those that have arrived. Libraries that are interrupted as they load may go on, or raise errors of their own: so
    the interruption comes again until it is answered (by SIGALRM, unless somebody else has a use for that), and
    whatever error follows is its consequence."""
    arrived = Arrived()

    def stop(number: int, frame: FrameType | None) -> None:
        if arrived.answered:
            return
        if signal.SIGALRM in taken:
            signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        if number != signal.SIGALRM:
            arrived.append(number)
        elif _under_way(sys.exception()):
            return
        raise KeyboardInterrupt

    def hook(lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            unraisable(lost)

    unraisable = sys.unraisablehook
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in wanted if in_main}
    taken = [number for number, was in before.items() if was in (signal.SIG_DFL, signal.default_int_handler)]
    for number in taken:
        signal.signal(number, stop)
    sys.unraisablehook = hook
    try:
        yield arrived
    finally:
        sys.unraisablehook = unraisable
        if signal.SIGALRM in taken:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number in taken:
            signal.signal(number, before[number])


def _under_way(error: BaseException | None) -> bool:
    """Whether the error at hand is an interruption, or was raised while one was handled."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def outlets() -> Iterator[None]:
    """Standard output and error that take every character, whatever the encoding, and lose what nobody reads any more;
    both are what they were afterwards."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_outlet(stream) for stream in before)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = before


class _Descriptor(io.FileIO):
    """A file descriptor whose reader may leave: what is written after that is lost, not an error."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except BrokenPipeError:
            return len(content)


def _outlet(stream: Any) -> Any:
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if any(stream is own for own in (sys.__stdout__, sys.__stderr__)):
        stream.flush()
        raw, at_once = _Descriptor(stream.fileno(), "w", closefd=False), stream.write_through
        return io.TextIOWrapper(
            raw if at_once else io.BufferedWriter(raw),  # type: ignore[type-var]
            encoding=stream.encoding,
            errors="replace",
            line_buffering=stream.line_buffering,
            write_through=at_once,
        )
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    return stream
