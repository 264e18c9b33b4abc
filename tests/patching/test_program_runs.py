"""Programs run, and patched, against the literal loop: no cache, every position recomputed, TransformerLens' hooks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memcirc.models import Model
from memcirc.patching import program_runs
from memcirc.patching.engine import patched_finals
from memcirc.patching.patches import OPERATIONS, Patch
from memcirc.patching.program_runs import POLICIES, run_patched, run_program
from memcirc.patching.program_selftests import check_places
from memcirc.patching.programs import Feed, Generate, Latent, Program, Tokens, at_step, identity, pause
from memcirc.patching.prompts import Prompts
from memcirc.patching.runs import RecordedRun, RunPair, logits_of
from memcirc.patching.sites import Site
from tests.models import D_VOCAB, WIDTH, small_model

K, QUESTION, AFTER = 3, 4, 2


def projection() -> Feed:
    torch.manual_seed(5)
    layers = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, WIDTH)).double().requires_grad_(False)
    return lambda hidden: layers(hidden)


def program(feed: Feed, seed: int, n: int = 3) -> Program:
    generator = torch.Generator().manual_seed(seed)
    question = torch.randint(0, D_VOCAB, (n, QUESTION), generator=generator)
    after = torch.full((n, AFTER), 7)
    return Program((Tokens(question), Latent(K, feed), Tokens(after), Generate(2)))


class Slow:
    """The program run without any cache: at every step all embeddings so far through the hooked model."""

    def __init__(self, model: Model, patch: Patch | None = None, source: dict[str, Tensor] | None = None) -> None:
        self.hooked, self.patch, self.source = model.hooked, patch, source or {}

    def pass_over(self, embeds: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and hidden states (after the final norm) of everything so far, the patch written where it fits."""
        x = torch.cat(embeds, dim=1)
        hidden: list[Tensor] = []
        hooks: list[Any] = [("ln_final.hook_normalized", lambda value, hook: hidden.append(value))]
        for where in self.patch.sites if self.patch else ():
            hooks.append((where.hook, lambda value, hook, where=where: self.write(value, hook.name, where)))
        ids = torch.zeros(x.shape[:2], dtype=torch.int64)
        hooks.insert(0, ("hook_embed", lambda value, hook: x))
        logits = self.hooked.run_with_hooks(ids, fwd_hooks=hooks)
        norm = self.hooked.ln_final
        return logits, hidden[0] * norm.w + (norm.b if hasattr(norm, "b") else 0)

    def write(self, value: Tensor, name: str, where: Site) -> Tensor:
        assert where.positions is not None
        value = value.clone()
        for position in where.positions:
            if where.shape == "pattern":
                if position < value.shape[2]:
                    seen = position + 1  # the rest of the row is masked
                    value[:, :, position, :seen] = self.source[name][:, :, position, :seen]
            elif position < value.shape[1]:
                value[:, position] = self.source[name][:, position]
        return value

    def run(self, given: Program, held: list[Tensor] | None = None) -> tuple[Tensor, list[Tensor], Tensor]:
        """Generated tokens, the vectors fed, and all input embeddings; ``held``: the vectors that are fed instead."""
        embeds: list[Tensor] = []
        fed: list[Tensor] = []
        for segment in given.segments:
            if isinstance(segment, Tokens):
                embeds.append(self.hooked.W_E[segment.ids])
            elif isinstance(segment, Latent):
                for _ in range(segment.steps):
                    _, hidden = self.pass_over(embeds)
                    fed.append(segment.feed(hidden[:, -1]) if held is None else held[len(fed)])
                    embeds.append(fed[-1][:, None])
        before = torch.cat(embeds, dim=1)
        tokens = []
        for _ in range(given.generated):
            logits, _ = self.pass_over(embeds)
            tokens.append(logits[:, -1].argmax(-1))
            embeds.append(self.hooked.W_E[tokens[-1]][:, None])
        return torch.stack(tokens, dim=1), fed, before

    def everything(self, given: Program, hooks: list[str]) -> dict[str, Tensor]:
        """What stands at some hooks over all positions before generation."""
        _, _, embeds = self.run(given)
        found: dict[str, Tensor] = {}
        keep = [(name, lambda value, hook: found.__setitem__(hook.name, value)) for name in hooks]
        ids = torch.zeros(embeds.shape[:2], dtype=torch.int64)
        self.hooked.run_with_hooks(ids, fwd_hooks=[("hook_embed", lambda value, hook: embeds), *keep])
        return found


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neox", "llama_grouped"])
@pytest.mark.parametrize("feed", ["projection", "identity", "pause"])
def test_a_program_equals_the_loop_without_cache(arch: str, feed: str) -> None:
    model = small_model(arch)
    feeds = {"projection": projection(), "identity": identity, "pause": pause(model.weights, 9)}
    given = program(feeds[feed], 1)
    tokens, _, _ = Slow(model).run(given)
    assert torch.equal(run_program(model.weights, given).generated, tokens)


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neox", "llama_grouped"])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_patch_at_every_step_equals_the_loop_without_cache(arch: str, policy: str) -> None:
    model, feed = small_model(arch), projection()
    weights, base, source = model.weights, program(feed, 1), program(feed, 2)
    kinds = ["q", "k", "v", "pattern", "z", "attn_out", "mlp_out", "resid_post", "resid_pre", "mlp_post"]
    patches = [Patch((at_step(base, "latent_in", k),)) for k in range(K)]
    patches += [Patch((at_step(base, kind, k, k % 3),)) for kind in kinds for k in range(K)]
    patches += [Patch((at_step(base, "z", [0, 2], 1), at_step(base, "mlp_out", 1, 0)))]
    runs = [run_program(weights, p, kinds) for p in (base, source)]
    found = run_patched(*runs, patches, policy)
    hooks = sorted({where.hook for patch in patches for where in patch.sites})
    values, (_, held, _) = Slow(model).everything(source, hooks), Slow(model).run(base)
    for i, patch in enumerate(patches):
        tokens, _, _ = Slow(model, patch, values).run(base, held if policy == "freeze_latents" else None)
        assert torch.equal(found.generated[i], tokens), patch.label


def test_freezing_equals_the_suffix_of_the_sweeps_engine() -> None:
    model, feed = small_model("gpt2"), projection()
    weights, base, source = model.weights, program(feed, 1), program(feed, 2)
    kinds = ["attn_out", "resid_post", "resid_pre"]
    patches = [Patch((at_step(base, kind, k, layer),)) for kind in kinds for k in range(K) for layer in range(3)]
    runs = [run_program(weights, p, kinds) for p in (base, source)]
    frozen = run_patched(*runs, patches, "freeze_latents")
    lengths = torch.full((base.batch,), base.given)
    prompts = Prompts(torch.zeros(base.batch, base.given, dtype=torch.int64), lengths, lengths[:, None] - 1)
    expected = runs[0].logits.repeat(len(patches), 1, 1)
    halves = [RecordedRun(run.found, run.final[:, -1:]) for run in runs]
    for part in patched_finals(RunPair(weights, prompts, *halves, torch.zeros_like(lengths)), patches):
        expected[part.patch, part.example] = logits_of(weights, part.final[:, 0])
    torch.testing.assert_close(frozen.logits, expected)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_latent_input_is_a_vector_like_any_other(operation: str) -> None:
    """What an operation leaves at the fed vector, worked out by hand, gives the same run."""
    model, feed = small_model("gpt_neox"), projection()
    weights, base, source = model.weights, program(feed, 1), program(feed, 2)
    runs = [run_program(weights, p) for p in (base, source)]
    patch = Patch((at_step(base, "latent_in", 1),), operation=operation, amount=0.5)
    found = run_patched(*runs, [patch], "freeze_latents")
    where = base.latent_positions[1]
    x, s = (r.embeds[:, where] for r in runs)
    by_hand = {
        "replace": s, "add": x + 0.5 * s, "scale": 0.5 * x, "interpolate": (x + s) / 2, "zero": 0 * x,
        "mean": s.mean(0).expand_as(s),
    }  # fmt: skip
    _, held, _ = Slow(model).run(base)
    tokens, _, _ = Slow(model).run(base, [by_hand[operation] if k == 1 else v for k, v in enumerate(held)])
    assert torch.equal(found.generated[0], tokens)


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neox"])
def test_the_self_tests_pass_and_catch_an_engine_that_loses_a_write(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, given = small_model(arch).weights, program(projection(), 1)
    kinds = ["q", "pattern", "z", "mlp_out", "resid_post"]
    base = run_program(weights, given, kinds)
    assert check_places(base, kinds) < 1e-9
    monkeypatch.setattr(program_runs._Rows, "at", lambda self, kind, layer, value: value)
    with pytest.raises(ValueError, match="changes nothing"):
        check_places(base, kinds)
    monkeypatch.setattr(program_runs._Rows, "at", lambda self, kind, layer, value: value * 1.1)
    with pytest.raises(ValueError, match="what is already there changes the run"):
        check_places(base, kinds)


def test_mistakes_are_refused_in_one_line() -> None:
    model, feed = small_model("gpt2"), projection()
    weights, given = model.weights, program(feed, 1)
    runs = run_program(weights, given, ["z"])
    with pytest.raises(ValueError, match="a site names its steps"):
        run_patched(runs, runs, [Patch((Site("z", 0),))], "freeze_latents")
    with pytest.raises(ValueError, match="layer 8 is out of range"):
        run_patched(runs, runs, [Patch((at_step(given, "z", 0, 8),))], "freeze_latents")
    with pytest.raises(ValueError, match="policy 'thaw' is not known"):
        run_patched(runs, runs, [Patch((at_step(given, "z", 0, 0),))], "thaw")
