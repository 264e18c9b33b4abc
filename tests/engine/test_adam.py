"""Steps of Adam beside those of torch."""

import torch

from memcirc.engine.adam import Adam


def test_steps_are_adams() -> None:
    ours, value = Adam(0.1), torch.zeros(4, dtype=torch.float64)
    theirs = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
    optimizer = torch.optim.Adam([theirs], lr=0.1, eps=1e-12)
    for i in range(5):
        gradient = torch.randn(4, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        value = value - ours.step(gradient)
        theirs.grad = gradient
        optimizer.step()
    torch.testing.assert_close(value, theirs.detach())
