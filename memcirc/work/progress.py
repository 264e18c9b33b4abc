"""What a command tells its user while it works."""

import sys


def say(line: str) -> None:
    """A line on stderr, since stdout may be piped."""
    print(line, file=sys.stderr, flush=True)
