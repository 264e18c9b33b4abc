"""The MLP activation functions with their derivatives, as fused kernels."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Activation:
    """``value(x)`` and ``backward(grad, x)`` = grad times the derivative at x."""

    value: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]

    def ratio(self, x: Tensor) -> Tensor:
        """f(x) / x, by its limit f'(0) at zero; what relevance propagation holds constant."""
        limit = self.backward(torch.ones_like(x), torch.zeros_like(x))
        safe = torch.where(x == 0, torch.ones_like(x), x)
        return torch.where(x == 0, limit, self.value(x) / safe)


def _relu_backward(grad: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.threshold_backward(grad, x, 0)


def _tanh_gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _tanh_gelu_backward(grad: Tensor, x: Tensor) -> Tensor:
    return torch.ops.aten.gelu_backward(grad, x, approximate="tanh")


_TANH_GELU = Activation(_tanh_gelu, _tanh_gelu_backward)
ACTIVATIONS = {
    "relu": Activation(F.relu, _relu_backward),
    "gelu": Activation(F.gelu, torch.ops.aten.gelu_backward),
    "gelu_new": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "silu": Activation(F.silu, torch.ops.aten.silu_backward),
}
