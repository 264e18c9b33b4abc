"""Activation patching of every model type, against transformers' own modules with hooks on them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from memcirc.patching.patches import Patch
from memcirc.patching.sites import Site
from memcirc.patching.sweep import patch_sweep
from tests.decoder.families import MODELS, loaded
from tests.models import random_pairs

# model type -> the list of blocks, and within a block the matrix that reads all heads
PARTS = {
    "bloom": ("transformer.h", "self_attention.dense"),
    "falcon": ("transformer.h", "self_attention.dense"),
    "gpt2": ("transformer.h", "attn.c_proj"),
    "gpt_neo": ("transformer.h", "attn.attention.out_proj"),
    "gpt_neox": ("gpt_neox.layers", "attention.dense"),
    "gptj": ("transformer.h", "attn.out_proj"),
    "opt": ("model.decoder.layers", "self_attn.out_proj"),
    "phi": ("model.layers", "self_attn.dense"),
}
OTHERS = ("model.layers", "self_attn.o_proj")
LAYER, HEAD = 1, 2


def part(module: Any, path: str) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def hooked_run(hf: Any, ids: Tensor, place: Callable[..., Any]) -> Tensor:
    """The last position's logits, with ``place`` given the blocks, and putting its hooks on them."""
    handles = place()
    try:
        with torch.no_grad():
            return hf(input_ids=ids, use_cache=False).logits[:, -1]
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("name", MODELS)
def test_sites_written_by_the_engine_are_those_that_transformers_writes(name: str) -> None:
    model, pairs = loaded(name), random_pairs(2, 6)
    assert model.hf is not None
    blocks, out = PARTS.get(MODELS[name][0], OTHERS)
    block = part(model.hf, blocks)[LAYER]
    matrix, d_head = part(block, out), model.weights.d_head
    found: dict[str, Tensor] = {}

    def first(output: Any) -> Tensor:
        return output if isinstance(output, Tensor) else output[0]

    def keeping() -> list[Any]:
        return [
            block.register_forward_hook(lambda _, __, output: found.update(resid=first(output))),
            matrix.register_forward_pre_hook(lambda _, given: found.update(z=given[0])),
        ]

    def writing_resid() -> list[Any]:
        def put(_: Any, __: Any, output: Any) -> Any:
            new = found["resid"].view_as(first(output))
            return new if isinstance(output, Tensor) else (new, *output[1:])

        return [block.register_forward_hook(put)]

    def writing_z() -> list[Any]:
        def put(_: Any, given: Any) -> Any:
            new = given[0].clone()
            columns = slice(HEAD * d_head, (HEAD + 1) * d_head)
            new[..., columns] = found["z"].view_as(new)[..., columns]
            return (new, *given[1:])

        return [matrix.register_forward_pre_hook(put)]

    clean, corrupt = (torch.tensor([getattr(pair, ids) for pair in pairs]) for ids in ("clean_ids", "corrupt_ids"))
    hooked_run(model.hf, clean, keeping)
    expected = [hooked_run(model.hf, corrupt, place) for place in (writing_resid, writing_z)]
    patches = [Patch((Site("resid_post", LAYER),)), Patch((Site("z", LAYER, None, (HEAD,)),))]
    sweep = patch_sweep(model, pairs, sites=patches, metrics=("logit_diff",))
    measured = torch.tensor(sweep.table["logit_diff"].to_pylist()).view(2, 2)
    for row, logits in zip(measured, expected, strict=True):
        wanted = [z[pair.answer_ids[0]] - z[pair.wrong_answer_ids[0]] for pair, z in zip(pairs, logits, strict=True)]
        torch.testing.assert_close(row, torch.stack(wanted).to(row), atol=1e-5, rtol=1e-5)
