"""What an MLP computes behind its norm."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.decoder.activations import ACTIVATIONS
from memcirc.decoder.weights import Mlp
from memcirc.decoder.workspace import Workspace

Stream = Float[Tensor, "batch variant pos d_model"]


@dataclass(frozen=True, eq=False)
class Inner:
    """Of an MLP's run: what stands before its activation, and beside it where it is gated; the hat and inverse of its
    post norm."""

    before: Tensor
    linear: Tensor | None
    post: tuple[Tensor, Tensor] | None


def feed(mlp: Mlp, x: Stream, workspace: Workspace, name: str = "before") -> tuple[Stream, Inner]:
    """What an MLP writes for what its norm gives. The second result lasts until ``name`` is taken from the workspace
    again."""
    activation, dtype = ACTIVATIONS[mlp.activation], mlp.up.weight.dtype
    shape = (*x.shape[:-1], mlp.up.width)
    x = x.to(dtype)
    room = workspace.take("activated", shape, dtype)
    if mlp.gate is None:
        before, linear = mlp.up(x, workspace.take(name, shape, dtype)), None
        activated = activation.value_into(before, room)
    else:
        before = mlp.gate(x, workspace.take(name, shape, dtype))
        linear = mlp.up(x, workspace.take(f"{name} linear", shape, dtype))
        activated = activation.value_into(before, room).mul_(linear)
    out = mlp.down(activated).to(torch.promote_types(dtype, torch.float32))
    post = None
    if mlp.post is not None:
        post = mlp.post.hat(out)
        out = mlp.post.scaled(post[0])
    return (out if mlp.multiplier == 1 else out * mlp.multiplier), Inner(before, linear, post)
