"""Micro-models small enough to work by hand: no norm, zero biases, uniform or fixed attention.

M1: attention only, one layer, one head, D = 2, W_Q = W_K = 0 (uniform attention), W_V = I, W_O = diag(2, 4),
W_U = I; tokens e0 = (1, 0), e1 = (0, 1), e2 = (2, 1); clean [2, 1], corrupt [1, 0].
Objective = logit 1 - logit 0, last position.
Clean: the head reads the mean (1, 1) and writes (2, 4); the residual is (0, 1) + (2, 4): objective 5 - 2 = 3.
Corrupt: mean (.5, .5), writes (1, 2), residual (2, 2): objective 0.

M2: one layer, D = 1, a ReLU MLP with W_in = 1, W_out = 3, no attention, W_U = [0, 1]; clean 2, corrupt -1.
Clean: 2 + 3 * 2 = 8. Corrupt: -1 + 0 = -1.
"""

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

from memcirc.models import Model, load_model
from memcirc.pairs.record import Pair, Pairs


def m1() -> tuple[Model, Pairs]:
    """M1 with its one pair."""
    model = _micro(d_model=2, d_head=2, d_vocab=3, d_vocab_out=2, attn_only=True)
    with torch.no_grad():
        attention = model.blocks[0].attn
        attention.W_V[0] = torch.eye(2)
        attention.W_O[0] = torch.diag(torch.tensor([2.0, 4.0]))
        model.embed.W_E.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]]))
        model.unembed.W_U.copy_(torch.eye(2))
    return load_model(model, device="cpu", dtype="float64"), Pairs((Pair((2, 1), (1, 0), (1,), (0,)),))


def m2() -> tuple[Model, Pairs]:
    """M2 with its one pair: tokens 0 and 1 stand for the values 2 and -1."""
    model = _micro(d_model=1, d_head=1, d_vocab=2, d_vocab_out=2, attn_only=False)
    with torch.no_grad():
        model.embed.W_E.copy_(torch.tensor([[2.0], [-1.0]]))
        model.blocks[0].mlp.W_in.fill_(1.0)
        model.blocks[0].mlp.W_out.fill_(3.0)
        model.unembed.W_U.copy_(torch.tensor([[0.0, 1.0]]))
    return load_model(model, device="cpu", dtype="float64"), Pairs((Pair((0,), (1,), (1,), (0,)),))


def _micro(d_model: int, d_head: int, d_vocab: int, d_vocab_out: int, attn_only: bool) -> HookedTransformer:
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=1,
            n_heads=1,
            d_model=d_model,
            d_head=d_head,
            d_mlp=1,
            n_ctx=4,
            d_vocab=d_vocab,
            d_vocab_out=d_vocab_out,
            act_fn="relu",
            attn_only=attn_only,
            normalization_type=None,
            dtype=torch.float64,
        )
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model.eval()
