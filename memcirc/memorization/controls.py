"""Controls of a memorization score: is the completion likely anyway, and could it be copied from its own prompt?

- Prior: the completion's log-probability behind prompts of other documents. What is as likely there is common text, not
  memory. ``prior_logprob`` = log of the mean of p(completion | prompt_k) over unrelated prompts; the lift over it is
  the completion's own ``logprob`` minus that, in nats.
- Induction: the share of completion tokens that copying gets right: find the latest earlier occurrence of the token
  before, say what followed it there.
"""

import numpy as np
import torch

from memcirc.memorization.generation import teacher_forced
from memcirc.models import Model


def prior_logprob(
    model: Model, passages: np.ndarray, prompts: np.ndarray, unrelated: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """float64 [n], nats: log of the mean probability of each passage's completion behind unrelated prompts.

    Args:
        passages: int64 [n, prompt + completion].
        prompts: int64 [k, prompt], of other documents.
        unrelated: bool [n, k], which prompts are of another document than the passage; NaN comes out where none is.
    """
    n_prompt = prompts.shape[1]
    logprobs = np.full(unrelated.shape, -np.inf)
    for k, prompt in enumerate(prompts):
        exchanged = passages.copy()
        exchanged[:, :n_prompt] = prompt
        for start in range(0, len(passages), batch_size):
            rows = slice(start, start + batch_size)
            read = teacher_forced(model, torch.from_numpy(exchanged[rows]), n_prompt)
            logprobs[rows, k] = read.logprob.double().sum(1).numpy()
    logprobs[~unrelated] = -np.inf
    count = unrelated.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, np.logaddexp.reduce(logprobs, axis=1) - np.log(count), np.nan)


def induction_share(passage: np.ndarray, prompt_tokens: int) -> float:
    """In 0..1: completion tokens that copying from before gets right, of all of them."""
    followed_by: dict[int, int] = {}
    right = 0
    tokens = passage.tolist()
    for i in range(1, len(tokens)):
        if i >= prompt_tokens:
            right += followed_by.get(tokens[i - 1]) == tokens[i]
        followed_by[tokens[i - 1]] = tokens[i]
    return right / (len(tokens) - prompt_tokens)
