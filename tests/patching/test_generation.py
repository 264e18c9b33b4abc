"""Generation in lockstep equals recomputing everything at every step."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memcirc.models import Model
from memcirc.patching.generation import Mirrored, patched_generation
from memcirc.patching.literal import patched_logits, recorded
from memcirc.patching.patches import Patch
from memcirc.patching.sites import Site, component_sites
from memcirc.patching.sweep import patch_sweep
from tests.models import small_model
from tests.patching.test_sweep import prompts

STEPS = 3


def recomputed(
    base: Model, source: Model, ids: Tensor, sites: list[Site], heard: Tensor | None = None, prompt_only: bool = False
) -> Tensor:
    """A full pass of both models for every token; ``heard`` is what the source reads as its prompt."""
    start, heard = ids.shape[1], ids if heard is None else heard
    places = tuple(range(start)) if prompt_only else None
    patch = Patch(tuple(replace(where, positions=places) for where in sites))
    for _ in range(STEPS):
        _, found = recorded(source.hooked, heard, [where.hook for where in sites])
        new = patched_logits(base.hooked, ids, found, patch)[:, -1:].argmax(-1)
        ids, heard = torch.cat([ids, new], dim=1), torch.cat([heard, new], dim=1)
    return ids[:, start:]


@pytest.mark.parametrize("prompt_only", [False, True])
def test_values_of_another_prompt_in_one_model_and_at_the_prompt_alone(prompt_only: bool) -> None:
    model = small_model("gpt_neox")
    clean, corrupt, *_ = prompts(n=2, length=5)
    for where in component_sites(model):
        fast = patched_generation(model.weights, corrupt, STEPS, Mirrored(model.weights, [where], clean, prompt_only))
        assert torch.equal(fast, recomputed(model, model, corrupt, [where], clean, prompt_only)), where.hook
    with pytest.raises(ValueError, match="the source reads 4 tokens and the base 5"):
        patched_generation(model.weights, corrupt, 1, Mirrored(model.weights, [Site("embed")], clean[:, 1:]))


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neox", "llama_grouped"])
def test_lockstep_equals_full_recompute_for_every_site(arch: str) -> None:
    base, source = small_model(arch, seed=0), small_model(arch, seed=1)
    ids = prompts(n=2, length=5)[0]
    for where in component_sites(base):
        fast = patched_generation(base.weights, ids, STEPS, Mirrored(source.weights, [where]))
        assert torch.equal(fast, recomputed(base, source, ids, [where])), where.hook


def test_several_sites_at_once_and_none() -> None:
    base, source = small_model("gpt_neox", seed=0), small_model("gpt_neox", seed=1)
    ids, sites = prompts()[0], [Site("embed"), Site("mlp_out", 1), Site("pattern", 2)]
    fast = patched_generation(base.weights, ids, STEPS, Mirrored(source.weights, sites))
    assert torch.equal(fast, recomputed(base, source, ids, sites))
    own = patched_generation(base.weights, ids, STEPS, Mirrored(source.weights, []))
    everything = patched_generation(base.weights, ids, STEPS, Mirrored(base.weights, [Site("resid_post", 2)]))
    assert torch.equal(own, everything)


def test_teacher_forced_exact_match_is_what_generation_says() -> None:
    base, source = small_model("gpt_neox", seed=0), small_model("gpt_neox", seed=1)
    ids, where = prompts(n=6)[0], Site("resid_post", 2)
    written = patched_generation(base.weights, ids, 3, Mirrored(source.weights, [where])).tolist()
    wrong = [[*answer[:-1], (answer[-1] + 1) % 31] for answer in written]
    for answers, expected in ((written, 1.0), (wrong, 0.0)):
        sweep = patch_sweep(
            base, ids, ids, answers, sites=[where.hook], source_model=source, metrics=("exact_match",), normalize=False
        )
        assert (sweep.values["exact_match"] == expected).all()


@pytest.mark.parametrize("arch", ["gpt_neox", "gpt2"])
def test_caching_again_at_every_step_equals_one_teacher_forced_pass(arch: str) -> None:
    """Per step: the source's cache and the patched run of all tokens so far; against one pass over the whole answer."""
    base, source = small_model(arch, seed=0, dtype="float32"), small_model(arch, seed=1, dtype="float32")
    prompt, answer = prompts(n=1)[0], [3, 7, 5]
    sites = component_sites(base)
    sweep = patch_sweep(
        base, prompt, prompt, [answer], sites=[Patch((where,)) for where in sites], source_model=source,
        metrics=tuple(f"token_logprob_{k}" for k in range(3)), normalize=False,
    )  # fmt: skip
    for i, where in enumerate(sites):
        for k, token in enumerate(answer):
            ids = torch.cat([prompt, torch.tensor([answer[:k]], dtype=torch.int64)], dim=1)
            _, found = recorded(source.hooked, ids, [where.hook])
            logits = patched_logits(base.hooked, ids, found, Patch((where,)))[0, -1].double().log_softmax(-1)
            assert abs(sweep.values[f"token_logprob_{k}"][i, 0] - logits[token].item()) < 1e-5 * float(
                logits.abs().max()
            ), (where.hook, k)
