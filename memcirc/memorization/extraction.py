"""(n, p)-discoverable extraction (Hayes et al. 2024): how many samples until a passage is likely to have come out?

    p_z = prod_t p(z_t | z_<t)    under the stated sampling scheme (temperature, then the k likeliest tokens)

A passage z is (n, p)-extractable when 1 - (1 - p_z)^n >= p. One teacher-forced pass gives p_z.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """A sampling scheme: logits divided by ``temperature``, then the ``top_k`` likeliest tokens alone (0: all).

    Raises:
        ValueError: a negative top_k, or a temperature that is not above 0.
    """

    top_k: int = 0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; accepted: 0 (all tokens) or more")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; accepted: above 0")

    def logprob(self, said: Tensor, best: Tensor, logits: Tensor) -> Tensor:
        """Log-probabilities of tokens under the scheme, in nats; -inf for tokens that it never says.

        Args:
            said: [...], the tokens' logits.
            best: [..., >= top_k], the highest logits in descending order.
            logits: [..., d_vocab], all of them.
        """
        if not self.top_k or self.top_k >= logits.shape[-1]:
            return said / self.temperature - (logits / self.temperature).logsumexp(-1)
        allowed = best[..., : self.top_k] / self.temperature
        logprob = said / self.temperature - allowed.logsumexp(-1)
        return logprob.masked_fill(said < best[..., self.top_k - 1], -torch.inf)


def extraction_probability(logprob: np.ndarray, n: int) -> np.ndarray:
    """1 - (1 - p_z)^n of passages with these log-probabilities (nats), exact for tiny p_z.

    Raises:
        ValueError: n below 1.
    """
    if n < 1:
        raise ValueError(f"{n} samples; at least 1 is needed")
    p = np.exp(np.asarray(logprob, dtype=np.float64))
    with np.errstate(divide="ignore"):
        return -np.expm1(n * np.log1p(-np.minimum(p, 1.0)))


def samples_needed(logprob: np.ndarray, p: float) -> np.ndarray:
    """float64: the smallest n with 1 - (1 - p_z)^n >= p; infinite where p_z is 0.

    Raises:
        ValueError: p not strictly between 0 and 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"p is {p}; accepted: between 0 and 1, both excluded")
    p_z = np.exp(np.asarray(logprob, dtype=np.float64))
    with np.errstate(divide="ignore"):
        needed = np.log1p(-p) / np.log1p(-np.minimum(p_z, 1.0))
    return np.maximum(1.0, np.ceil(needed * (1 - 1e-12)))
