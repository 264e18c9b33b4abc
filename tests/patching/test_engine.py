"""The fast engine, row by row, against full passes of the hooked model, however its rows are divided."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from memcirc.metrics import Metric
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.patching.engine import kinds_to_record, patched_finals, slow_reason
from memcirc.patching.literal import patched_logits, recorded
from memcirc.patching.patches import OPERATIONS, Patch
from memcirc.patching.prompts import prompts_of
from memcirc.patching.runs import logits_of
from memcirc.patching.sides import compared
from memcirc.patching.sites import KINDS, PATTERN, STREAM, Site, hooks_of
from tests.models import HEADS, LAYERS, random_pairs, small_model

ARCHS = ("gpt2", "gpt_neo", "gpt_neox", "gpt_neox_sequential", "llama")
MODELS = {arch: small_model(arch) for arch in ARCHS}


def fast(model: Model, pairs: Pairs, patches: list[Patch], budget: int | None = None) -> Tensor:
    """Logits where each pair is read, [patch, pair, d_vocab]; of rows without effect those of the base run."""
    comparison, _ = compared(model, pairs, [Metric.parse("logit_diff")])
    runs = comparison.record(kinds_to_record(patches, comparison.n_layers))
    found = logits_of(runs.weights, runs.base.final[:, 0]).repeat(len(patches), 1, 1)
    for part in patched_finals(runs, patches, budget):
        found[part.patch, part.example] = logits_of(runs.weights, part.final[:, 0])
    return found


def slow(model: Model, pairs: Pairs, patch: Patch) -> Tensor:
    """The same of one patch on pairs of one length, literally."""
    clean, corrupt = prompts_of(model, pairs)
    _, found = recorded(model.hooked, clean.ids, [where.hook for where in patch.sites])
    logits = patched_logits(model.hooked, corrupt.ids, found, patch)
    return torch.stack([logits[i, pair.read_at] for i, pair in enumerate(pairs)])


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, Patch]:
    """An architecture, and a patch of one or two of its sites: anywhere, any operation."""
    arch = draw(st.sampled_from(ARCHS))
    known, fast_ones = set(hooks_of(MODELS[arch])), [name for name, kind in KINDS.items() if kind.fast]
    kinds = [name for name in fast_ones if Site(name, 0 if KINDS[name].of_block else None).hook in known]
    sites = []
    for _ in range(draw(st.integers(1, 2))):
        kind = KINDS[name := draw(st.sampled_from(kinds))]
        positions = tuple(sorted(draw(st.sets(st.integers(0, 4), min_size=1)))) if draw(st.booleans()) else None
        heads = (draw(st.integers(0, HEADS - 1)),) if kind.shape != STREAM and draw(st.booleans()) else None
        sites.append(Site(name, draw(st.integers(0, LAYERS - 1)) if kind.of_block else None, positions, heads))
    patch = Patch(tuple(dict.fromkeys(sites)), operation=draw(st.sampled_from(OPERATIONS)), amount=0.5)
    assume(slow_reason(patch, gate_bias=False) is None)
    return arch, patch


@settings(max_examples=40, deadline=None)
@given(cases())
def test_any_patch_equals_a_full_pass(case: tuple[str, Patch]) -> None:
    arch, patch = case
    pairs = random_pairs(2, 5, shared=1)
    expected = slow(MODELS[arch], pairs, patch)
    torch.testing.assert_close(fast(MODELS[arch], pairs, [patch])[0], expected, atol=1e-9, rtol=1e-9)


def test_how_rows_are_divided_changes_nothing() -> None:
    """Prompts of two lengths; a budget of one token runs every row alone."""
    model, pairs = MODELS["gpt_neox"], random_pairs(3, (6, 4), shared=2)
    patches = [Patch((Site(kind, layer, (position,)),)) for kind in ("z", "mlp_out", "resid_pre", "pattern")
               for layer in range(LAYERS) for position in range(4)]  # fmt: skip
    whole = fast(model, pairs, patches)
    for budget in (1, 7, 40):
        torch.testing.assert_close(fast(model, pairs, patches, budget), whole, atol=1e-12, rtol=1e-12)


def test_rows_without_effect_are_not_run_unless_they_are_asked_for() -> None:
    """The first two tokens agree, so at them nothing differs within one model."""
    comparison, _ = compared(MODELS["gpt2"], random_pairs(3, 5, shared=2), [Metric.parse("logit_diff")])
    patches = [Patch((Site("resid_pre", 1, (position,)),)) for position in range(5)]
    runs = comparison.record(kinds_to_record(patches, LAYERS))
    ran, all_of_them = (
        sorted((int(p), int(e)) for part in patched_finals(runs, patches, skip=skip)
               for p, e in zip(part.patch, part.example, strict=True))
        for skip in (True, False)
    )  # fmt: skip
    assert ran == [(patch, example) for patch in (2, 3, 4) for example in range(3)]
    assert all_of_them == [(patch, example) for patch in range(5) for example in range(3)]


@pytest.mark.parametrize(
    ("patch", "gate_bias", "reason"),
    [
        (Patch((Site("z", 0),)), True, None),
        (Patch((Site("mlp_post", 0),)), False, None),
        (Patch((Site("mlp_post", 0),)), True, "this model's gated MLP has a bias"),
        (Patch((Site("attn_scores", 0),)), False, None),
        (Patch((Site("attn_scores", 0),), operation="zero"), False, "'attn_scores' can be replaced by rows only"),
        (
            Patch((Site("resid_post", 0, (1,)), Site("resid_pre", 1)), operation="add"),
            False,
            "'add' is done twice where its sites meet",
        ),
        (Patch((Site("resid_post", 0, (1,)), Site("resid_pre", 1))), False, None),
        (Patch((Site("z", 0, (1,)), Site("z", 0, (2,))), operation="scale"), False, None),
        (Patch((Site("z", 0), Site("ln1_scale", 1))), False, "'ln1_scale' is not a place of the fast engine"),
    ],
)
def test_why_a_patch_takes_full_passes(patch: Patch, gate_bias: bool, reason: str | None) -> None:
    assert slow_reason(patch, gate_bias) == reason


def test_what_is_recorded_is_what_is_written() -> None:
    patches = [Patch((Site("resid_post", 0), Site("attn_scores", 1))), Patch((Site("resid_post", LAYERS - 1),))]
    assert kinds_to_record(patches, LAYERS) == ["pattern", "resid_post", "resid_pre"]
    assert KINDS["attn_scores"].shape == PATTERN
