"""Why targets are missed, in operations and bytes: of each row's work the beginning, and the reason.

Operations are those of the matrix products (2 a multiply-add), counted from the shapes; bytes those of tensors that no
cache holds, written and read again.
"""

REASONS = {}


def reason_of(work: str) -> str:
    """The reason for a missed row.

    Raises:
        KeyError: there is none; it belongs into ``REASONS``.
    """
    return next(reason for beginning, reason in REASONS.items() if work.startswith(beginning))
