"""``python -m memcirc`` is the ``memcirc`` command."""

import signal
import sys


def run() -> int:
    """The command's exit status, also where Ctrl-C comes before it has begun."""
    try:
        from memcirc.cli import main

        return main()
    except KeyboardInterrupt:
        print("memcirc: interrupted before it had begun", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done but for the interpreter's own end


if __name__ == "__main__":
    sys.exit(run())
