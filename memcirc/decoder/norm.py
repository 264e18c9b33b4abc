"""The norm before or behind a branch: what it gives, its way back, and matrices that act on what it has divided."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Norm:
    """(x - mean)/sigma * gain + bias, or without the mean (RMS), over the last axis."""

    centred: bool
    eps: float
    gain: Float[Tensor, "..."] | None = None
    bias: Float[Tensor, "..."] | None = None

    def hat(self, x: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x centred (unless RMS) and divided by its scale, and 1/scale [*rows, 1]."""
        if not self.centred:
            inverse = x.square().mean(-1, keepdim=True).add_(self.eps).rsqrt_()
            return torch.mul(x, inverse, out=out), inverse
        if out is None:
            hat, _, inverse = torch.native_layer_norm(x, [x.shape[-1]], None, None, self.eps)
            return hat, inverse
        mean, inverse = x.new_empty(2, *x.shape[:-1], 1)
        torch.ops.aten.native_layer_norm.out(x, [x.shape[-1]], None, None, self.eps, out0=out, out1=mean, out2=inverse)
        return out, inverse

    def scaled(self, hat: Tensor, out: Tensor | None = None) -> Tensor:
        """What leaves the norm, given :meth:`hat`."""
        if self.gain is None:
            return hat if self.bias is None else torch.add(hat, self.bias.to(hat), out=out)
        if self.bias is None:
            return torch.mul(hat, self.gain.to(hat), out=out)
        return torch.addcmul(self.bias.to(hat), hat, self.gain.to(hat), out=out)

    @property
    def in_one_pass(self) -> bool:
        """Whether torch has this norm as a whole, which takes one pass over x."""
        return self.centred and self.gain is not None and self.bias is not None and self.gain.ndim == 1

    def __call__(self, x: Tensor) -> Tensor:
        if not self.in_one_pass or self.gain is None or self.bias is None:
            return self.scaled(self.hat(x)[0])
        return torch.layer_norm(x, [x.shape[-1]], self.gain.to(x), self.bias.to(x), self.eps)

    def backward(self, gradient: Tensor, hat: Tensor, inverse: Tensor, fixed_scale: bool = False) -> Tensor:
        """The gradient at x, from that at what leaves the norm. A ``fixed_scale`` is a constant to differentiation."""
        gradient = self._through_gain(gradient) * inverse
        return gradient if fixed_scale else gradient.addcmul_(hat, (gradient * hat).mean(-1, keepdim=True), value=-1)

    def _through_gain(self, gradient: Tensor) -> Tensor:
        if self.gain is None:
            return gradient - gradient.mean(-1, keepdim=True) if self.centred else gradient
        gain = self.gain.to(gradient)
        if not self.centred:
            return gradient * gain
        return torch.addcmul((gradient @ gain)[..., None] / -len(gain), gradient, gain)

    def folded(self, matrix: Float[Tensor, "head d_head d_model"], out: Tensor) -> Tensor:
        """Matrices that read what this norm gives, as they act on its hat: times the gain, and where the norm is
        centred with a mean of zero over d_model, which changes nothing."""
        gain = matrix.new_ones(matrix.shape[2]) if self.gain is None else self.gain
        if not self.centred:
            return torch.mul(matrix, gain, out=out)
        means = (matrix @ gain.to(matrix.dtype)).to(out.dtype) / matrix.shape[2]
        return torch.addcmul(means[..., None].neg_(), matrix.to(out.dtype), gain.to(out.dtype), out=out)


def hat_of(
    norm: Norm | None, x: Float[Tensor, "*rows d_model"], out: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """:meth:`Norm.hat`; without a norm x itself and None."""
    return (x, None) if norm is None else norm.hat(x, out)


def scaled(norm: Norm | None, hat: Tensor, out: Tensor | None = None) -> Tensor:
    """What a branch's products read, given its hat."""
    return hat if norm is None else norm.scaled(hat, out)


def normed(norm: Norm | None, x: Tensor) -> Tensor:
    """What a branch's products read, given the residual."""
    return x if norm is None else norm(x)
