"""Buffers that are kept from one batch to the next. Fresh memory costs more than the products that fill it: the first
touch of a page is slow, and a pass touches about as much as the model's weights."""

from math import prod

import torch
from torch import Tensor


class Workspace:
    """Tensors by name. A second request under a name gets the same memory, so what was there before is gone."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """A tensor of the given shape whose values are arbitrary (finite)."""
        size, key = prod(shape), (name, dtype)
        if key not in self._buffers or len(self._buffers[key]) < size:
            self._buffers.pop(key, None)
            self._buffers[key] = torch.zeros(size, dtype=dtype, device=self._device)
        return self._buffers[key][:size].view(shape)
