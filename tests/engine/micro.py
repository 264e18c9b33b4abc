"""M3, the third micro-model worked by hand (:mod:`tests.micro_models` has the first two)."""

import math

import torch
from transformer_lens import HookedTransformer, HookedTransformerConfig

from memcirc.models import Model, load_model
from memcirc.pairs.record import Pair, Pairs


def one_dimension_each() -> tuple[Model, Pairs]:
    """M3: D = 4 with one dimension each for q, k, v and the output; first token (0,1,4,0) or (0,0,8,0), second
    (ln 3, 0, 0, 0)."""
    cfg = HookedTransformerConfig(
        n_layers=1,
        d_model=4,
        n_ctx=4,
        d_head=1,
        n_heads=1,
        d_vocab=3,
        d_vocab_out=2,
        attn_only=True,
        normalization_type=None,
        dtype=torch.float64,
    )
    model = HookedTransformer(cfg).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.zero_()
    model.embed.W_E[:] = torch.tensor([[0.0, 1, 4, 0], [math.log(3), 0, 0, 0], [0, 0, 8, 0]], dtype=torch.float64)
    attn = model.blocks[0].attn
    attn.W_Q[0, 0, 0] = attn.W_K[0, 1, 0] = attn.W_V[0, 2, 0] = attn.W_O[0, 0, 3] = 1
    model.unembed.W_U[3, 1] = 1
    return load_model(model, device="cpu", dtype="float64"), Pairs((Pair((0, 1), (2, 1), (1,), (0,)),))
