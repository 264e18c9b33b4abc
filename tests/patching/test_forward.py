"""The pass over plain weights: every place that it passes holds what TransformerLens' hook holds."""

import pytest
import torch

from memcirc.patching.forward import Segment, positions_of, read_tokens
from memcirc.patching.prompts import prompts_of
from memcirc.patching.runs import embedded, logits_of, run
from memcirc.patching.sites import KINDS, Site, hooks_of
from tests.models import ARCHITECTURES, LAYERS, random_pairs, small_model


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_place_holds_what_its_hook_holds(arch: str) -> None:
    model, pairs = small_model(arch), random_pairs(2, 5)
    weights, (prompts, _) = model.weights, prompts_of(model, pairs)
    kinds = [name for name, kind in KINDS.items() if kind.fast]
    found, known = run(weights, prompts, kinds), set(hooks_of(model))
    logits, cache = model.hooked.run_with_cache(prompts.ids, prepend_bos=False)
    torch.testing.assert_close(logits_of(weights, found.final)[:, 0], logits[:, -1], atol=1e-9, rtol=1e-9)
    seen = 0
    for (kind, layer), value in found.found.items():
        hook = Site(kind, layer if KINDS[kind].of_block else None).hook
        if hook in known:
            seen += 1
            assert (value - cache[hook]).abs().nan_to_num().max() < 1e-9, hook  # scores are masked by -inf in both
    assert seen >= 8 * len(weights.blocks)


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neox", "llama_grouped"])
def test_a_last_block_computed_where_it_is_read_alone_gives_the_same(arch: str) -> None:
    model = small_model(arch)
    weights, (prompts, _) = model.weights, prompts_of(model, random_pairs(3, (6, 4), steps=3), whole_answers=True)
    trimmed, whole = (run(weights, prompts, trim=trim).final for trim in (True, False))
    assert trimmed.shape == (3, 3, weights.d_model)
    torch.testing.assert_close(trimmed, whole, atol=1e-12, rtol=1e-12)


def test_embeddings_that_are_fed_are_what_is_run() -> None:
    model = small_model("gpt2")
    weights, (prompts, other) = model.weights, prompts_of(model, random_pairs(2, 5))
    fed = run(weights, prompts, embeds=embedded(weights, other.ids)).final
    torch.testing.assert_close(fed, run(weights, other).final)


def test_flat_tokens_by_hand() -> None:
    """Two rows of positions 1 to 3, then one of 0 to 1: tokens 0-2, 3-5, 6-7."""
    owner = torch.zeros(2, dtype=torch.int64)
    segments = [
        Segment(2, 1, 4, owner, torch.tensor([[3], [2]])),
        Segment(1, 0, 2, owner[:1], torch.tensor([[1]])),
    ]
    assert positions_of(segments, torch.device("cpu")).tolist() == [1, 2, 3, 1, 2, 3, 0, 1]
    assert read_tokens(segments).tolist() == [2, 4, 7]
    assert [s.tokens for s in segments] == [6, 2]
    assert LAYERS == 3
