"""``python -m memcirc`` is the ``memcirc`` command."""

import os
import signal
import sys
from contextlib import suppress


def run() -> int:
    """The command's exit status, also where Ctrl-C comes before it has begun.

    After a signal the process ends here: an interruption that has passed through ``exec`` or ``eval``, as modules that
    are being loaded call them, would make Python end as if nobody had dealt with it.
    """
    try:
        from memcirc.cli import main
        from memcirc.work.freed import keep_freed_memory

        keep_freed_memory()
        status = main()
    except KeyboardInterrupt:
        print("memcirc: interrupted before it had begun", file=sys.stderr)
        status = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but for the interpreter's own end
    if status > 128:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError):
                stream.flush()
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(run())
