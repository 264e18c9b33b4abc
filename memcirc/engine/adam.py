"""Steps of gradient descent that keep their size whatever that of the gradient."""

import torch
from torch import Tensor


class Adam:
    """Steps of Adam (Kingma and Ba 2015) at a rate."""

    def __init__(self, rate: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self._rate, self._betas = rate, betas
        self._mean = self._square = torch.zeros(())
        self._steps = 0

    def step(self, gradient: Tensor) -> Tensor:
        """What is taken from the parameters, given the loss's gradient at them."""
        self._steps += 1
        mean, square = self._betas
        self._mean = mean * self._mean.to(gradient) + (1 - mean) * gradient
        self._square = square * self._square.to(gradient) + (1 - square) * gradient.square()
        scale = (self._square / (1 - square**self._steps)).sqrt() + 1e-12
        return self._rate / (1 - mean**self._steps) * self._mean / scale
