"""The MLP activation functions with their derivatives, as fused kernels that can write into given memory."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """``value(x)`` and ``backward(grad, x)`` = grad times the derivative at x; ``into`` are the same with memory for
    the result."""

    value: Callable[..., Tensor]
    backward: Callable[..., Tensor]
    value_into: Callable[..., Tensor]
    backward_into: Callable[..., Tensor]

    def ratio(self, x: Tensor) -> Tensor:
        """f(x) / x, by its limit f'(0) at zero; what relevance propagation holds constant."""
        limit = self.backward(torch.ones_like(x), torch.zeros_like(x))
        safe = torch.where(x == 0, torch.ones_like(x), x)
        return torch.where(x == 0, limit, self.value(x) / safe)


def _of(value: Any, backward: Any, *after: Any, **options: Any) -> Activation:
    """From a pair of aten operators; ``after`` are arguments of the backward one."""

    def value_into(x: Tensor, out: Tensor) -> Tensor:
        result: Tensor = value.out(x, **options, out=out)
        return result

    def backward_of(grad: Tensor, x: Tensor) -> Tensor:
        result: Tensor = backward.default(grad, x, *after, **options)
        return result

    def backward_into(grad: Tensor, x: Tensor, out: Tensor) -> Tensor:
        result: Tensor = backward.grad_input(grad, x, *after, **options, grad_input=out)
        return result

    return Activation(partial(value.default, **options), backward_of, value_into, backward_into)


_TANH_GELU = _of(torch.ops.aten.gelu, torch.ops.aten.gelu_backward, approximate="tanh")
ACTIVATIONS = {
    "relu": _of(torch.ops.aten.relu, torch.ops.aten.threshold_backward, 0),
    "gelu": _of(torch.ops.aten.gelu, torch.ops.aten.gelu_backward),
    "gelu_new": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "silu": _of(torch.ops.aten.silu, torch.ops.aten.silu_backward),
}
