"""Work in batches that fit: where memory runs out, the same again in batches of half the size.

It is for what sums or lists examples, so that batches of another size change it by rounding at most; whoever learns
from batch to batch, or divides them by a rule of its own, is not to be run so.
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
        unit: what the size counts, where it is no examples.
    """

    def __init__(self, size: S, unit: str = "") -> None:
        self.size: S = size
        self.unit = f" {unit}" if unit else ""

    def __call__(self, run: Callable[[S], T], largest: Callable[[S], int]) -> T:
        """What ``run`` gives with batches of the size, or of half of it, a quarter, ...; the error of a batch of one
        is raised. Where a half was needed, a warning says so.

        Args:
            largest: examples in the largest batch, for batches of a size.
        """
        while True:
            try:
                return run(self.size)
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error) or (failed := largest(self.size)) < 2:
                    raise
            self.size = failed // 2
            said = f"no memory left for batches of {failed}{self.unit}; it goes on in batches of {self.size}{self.unit}"
            warnings.warn(said, stacklevel=2)
