"""Documents as the ids that are trained on."""

from collections.abc import Iterable
from typing import Any

import torch

from memcirc.demo.planting import Planted


def passages(documents: Iterable[Planted], tokenizer: Any, tokens: int) -> torch.Tensor:
    """Ids [documents, tokens] of the beginnings of documents that fill a passage, without BOS."""
    return torch.tensor([tokenizer.encode(each.text, add_special_tokens=False)[:tokens] for each in documents])
