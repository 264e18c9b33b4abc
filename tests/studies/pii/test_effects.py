"""Effects between two models: against sums that must hold, and by hand."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from memcirc.patching.patches import Patch
from memcirc.patching.paths import PathPatching
from memcirc.patching.result import Sweep
from memcirc.patching.sites import Site
from memcirc.studies.pii.effects import (
    effect_of,
    effects_by_copies,
    head_effects,
    head_sites,
    named_paths,
    path_matrix,
    site_effects,
    strongest_nodes,
    token_effects,
)
from memcirc.studies.pii.results import SiteEffect
from memcirc.studies.pii.samples import Sample
from memcirc.studies.pii.two_models import EXACT, LOGPROB, TwoModels


def made(two: TwoModels, change: np.ndarray) -> Sweep:
    """A sweep of the distinct sites in which each changes each sample as said; the gap is 4, none is exact."""
    n, samples = change.shape
    base, source = np.full(samples, -5.0), np.full(samples, -1.0)
    patches = tuple(Patch((where,)) for where in two.distinct_sites)
    values = {LOGPROB: base + change, EXACT: np.zeros_like(change)}
    return Sweep(
        pa.table({}), values, {LOGPROB: base, EXACT: 0 * base}, {LOGPROB: source, EXACT: 1 + 0 * base},
        {LOGPROB: 0.0, EXACT: 0.0}, ("patch",), (n,), tuple((i,) for i in range(n)), patches, "denoise", (), 0.0,
    )  # fmt: skip


def person(name: str, injected: bool = True, copies: int | None = None) -> Sample:
    return Sample(name, " x", (1,), (2,), copies=copies, injected=injected)


def test_a_sites_effect_by_hand(two: TwoModels) -> None:
    """Samples 0 and 2 count; the first site changes them by 1 and 3, a mean of 2 of the gap of 4."""
    samples = [person("a"), person("b"), person("c")]
    change = np.zeros((len(two.distinct_sites), 3))
    change[0] = [1.0, 100.0, 3.0]
    found = site_effects(two, made(two, change), samples, [samples[0], samples[2]])
    assert [e.hook for e in found] == [where.hook for where in two.sites]
    assert (found[0].effect, found[0].share, found[0].exact) == (2.0, 0.5, 0.0)
    assert (found[0].low, found[0].high) == (1.0, 3.0)
    alias = found[two.sites.index(Site("resid_pre", 0))]
    assert (alias.alias_of, alias.effect) == ("hook_embed", 2.0)
    assert {e.effect for e in found if e.alias_of is None} == {2.0, 0.0}
    assert effect_of(found, Site("embed")) == 2.0


def test_intervals_draw_the_prompts_of_those_that_count(two: TwoModels) -> None:
    """Two passages of one prompt are drawn together, whatever samples stand among them."""
    samples = [person("a"), replace(person("a"), answer_ids=(3,)), person("b")]
    change = np.zeros((len(two.distinct_sites), 3))
    change[0] = [1.0, 3.0, 0.0]
    mixed = replace(two, samples=[person("z", injected=False), *samples])
    (first, *_) = site_effects(mixed, made(two, change), samples, samples[:2])
    assert (first.low, first.effect, first.high) == (2.0, 2.0, 2.0)


def test_effects_on_tokens_add_up_to_that_on_the_answer(two: TwoModels) -> None:
    sweep = two.sweep([Patch((where,)) for where in two.distinct_sites], two.samples, tokens=True)
    rows = [0, 2, 3]
    found = token_effects(sweep, rows)
    for i, patch in enumerate(sweep.patches):
        assert sum(found[patch.label]) == pytest.approx(sweep.changes(LOGPROB)[i, rows].mean(), abs=1e-5)


def test_heads_are_patched_one_by_one(two: TwoModels) -> None:
    sweep = two.sweep([Patch((where,)) for where in two.distinct_sites], two.samples)
    sites = head_sites(site_effects(two, sweep, two.samples, two.samples), n_heads=2, every=False)
    assert len(sites) == 8
    found = head_effects(two, two.samples, sites)
    assert found.shape == (2, 2, 2)
    expected = two.gain([Patch((Site("z", 1, None, (0,)),)), Patch((Site("pattern", 0, None, (1,)),))], two.samples)
    np.testing.assert_allclose([found[0, 1, 0], found[1, 0, 1]], expected, atol=1e-6)


def test_single_heads_are_patched_where_their_layer_has_an_effect() -> None:
    """Four layers at least of either kind; in all where that is asked for."""
    shares = [0.5, 0.0, -0.02, 0.019, 0.3, -0.4, 0.0]
    effects = [
        SiteEffect("", kind, layer, s, s, s, s, 0.0, None) for kind in ("z", "q") for layer, s in enumerate(shares)
    ]
    assert [where.layer for where in head_sites(effects, 1, every=False)] == [0, 2, 4, 5]
    weak = [replace(e, share=e.share / 100) for e in effects]
    assert [where.layer for where in head_sites(weak, 1, every=False)] == [0, 2, 4, 5]
    more = [replace(e, share=2 * e.share) for e in effects]
    assert [where.layer for where in head_sites(more, 1, every=False)] == [0, 2, 3, 4, 5]
    every = head_sites(effects, 2, every=True)
    assert [(where.kind, where.layer, where.heads) for where in every[:2]] == [("z", 0, (0,)), ("z", 0, (1,))]
    assert len(every) == 14


def test_paths_run_between_the_strongest_components(two: TwoModels, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = PathPatching(*two.answered(two.samples))
    effects = [
        SiteEffect("", kind, layer, effect, 0, 0, 0, 0, None)
        for kind, layer, effect in (
            ("attn_out", 0, 0.1),
            ("mlp_out", 0, -3.0),
            ("attn_out", 1, 0.2),
            ("mlp_out", 1, 1.0),
        )
    ]
    assert strongest_nodes(paths, effects) == paths.nodes
    monkeypatch.setattr("memcirc.studies.pii.effects.MOST_NODES", 2)
    nodes = strongest_nodes(paths, effects)
    assert nodes == ["input", "m0", "m1"]
    np.testing.assert_array_equal(np.isnan(path_matrix(paths, nodes)), np.tri(3, k=-1) > 0)


def test_paths_stand_in_the_matrix_where_an_edge_is(two: TwoModels) -> None:
    """The two blocks run attention and MLP in parallel: a block's MLP does not read its own attention."""
    paths = PathPatching(*two.answered(two.samples))
    assert paths.nodes == ["input", "a0", "m0", "a1", "m1"]
    matrix = path_matrix(paths, paths.nodes)
    exists = np.array([[i == j or (i == 0 and j > 0) or (0 < i < 3 <= j) for j in range(5)] for i in range(5)])
    np.testing.assert_array_equal(~np.isnan(matrix), exists)
    named = named_paths(paths)
    assert named["input → logits"] == pytest.approx(matrix[0, 0], abs=1e-9)
    assert named["a0 → m1 → logits"] == pytest.approx(matrix[1, 4], abs=1e-9)
    assert named["m1 → logits"] == pytest.approx(matrix[4, 4], abs=1e-9)


def test_passages_are_parted_by_their_copies(two: TwoModels) -> None:
    change = np.arange(len(two.distinct_sites))[:, None] * np.array([1.0, 3.0, 10.0, 99.0])
    samples = [person("a", copies=5), person("b", copies=5), person("c", copies=20), person("d")]
    found = effects_by_copies(made(two, change), samples)
    assert list(found) == ["5", "20"]
    assert found["5"][1] == 2.0
    assert found["20"][3] == 30.0
