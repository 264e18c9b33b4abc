"""Work in batches that fit: where memory runs out, the same again in batches of half the size.

Every half is the same computation on fewer examples at a time, so that results differ by rounding at most.
"""

import warnings
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S", int, int | None)
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, of the machine or of a device."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)


class Fitting(Generic[S]):
    """The size of batches, halved for good whenever memory runs out.

    Attributes:
        size: examples in a batch; None: as many as whoever divides them finds right.
    """

    def __init__(self, size: S, largest: Callable[[], int] | None = None) -> None:
        """``largest`` says how many examples the largest batch has where ``size`` is None."""
        self.size: S = size
        self._largest = largest

    def __call__(self, run: Callable[[S], T]) -> T:
        """What ``run`` gives with batches of the size, or of half of it, a quarter, ...; the error of a batch of one
        is raised. Where a half was needed, a warning says so."""
        while True:
            try:
                return run(self.size)
            except (MemoryError, RuntimeError) as error:
                size = self._largest() if self.size is None and self._largest else self.size
                if not ran_out(error) or size is None or size < 2:
                    raise
            self.size = size // 2
            warnings.warn(f"no memory left for batches of {size}; it goes on in batches of {self.size}", stacklevel=2)
