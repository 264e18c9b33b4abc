"""The page of a sweep by its numbers, on pairs of one document."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memcirc.patching.sweep import patch_sweep
from memcirc.studies.sweep.config import SweepConfig
from memcirc.studies.sweep.page import Swept, _drawings, _findings, _panels, _shown, _strongest
from tests.models import llama_style_tokenizer, random_pairs, small_model


def swept(sites: str, normalize: bool = True, direction: str = "denoise") -> Swept:
    model, pairs = small_model("gpt2"), random_pairs(3, (5, 4))
    pairs = replace(pairs, items=tuple(replace(pair, doc_id="one") for pair in pairs))
    sweep = patch_sweep(model, pairs, sites=sites, normalize=normalize, direction=direction)
    config = SweepConfig("a model", "a file", sites=sites, normalize=normalize, direction=direction)
    return Swept(model, pairs, sweep, config)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_strongest_are_those_furthest_from_the_base_run(normalize: bool) -> None:
    given = swept("resid_pre", normalize)
    effects, base = given.sweep.effects("logit_diff", normalize), given.sweep.own_ends()[0]
    distance = np.abs(effects - (0 if normalize else base))
    rows = _strongest(given).rows
    strongest = [effects[i] for i in np.argsort(-distance, kind="stable")[:12]]
    assert [row["effect"] for row in rows] == pytest.approx(strongest)
    assert all(("base run" in row) == (not normalize) for row in rows)
    assert {row["n"] for row in rows} <= {2, 3}
    for row in rows:  # all pairs are of one document, so every draw is the same
        assert (row["low"], row["high"]) == pytest.approx((row["effect"],) * 2)


def test_panels_are_kinds_and_heads() -> None:
    blocks = swept("block_every").sweep
    found = _panels(blocks, blocks.matrix(), "block_every")
    assert list(found) == ["resid_pre", "attn_out", "mlp_out"]
    np.testing.assert_array_equal(found["mlp_out"], blocks.matrix()[2])
    heads = swept("head_by_pos_every").sweep
    found = _panels(heads, heads.matrix(), "head_by_pos_every")
    assert list(found)[:5] == ["out, head 0", "out, head 1", "out, head 2", "out, head 3", "q, head 0"]
    np.testing.assert_array_equal(found["pattern, head 3"], heads.matrix()[4, :, :, 3])
    alone = swept("head_pattern_by_pos").sweep
    np.testing.assert_array_equal(_panels(alone, alone.matrix(), "p")["p, head 2"], alone.matrix()[:, 2])


@pytest.mark.parametrize(
    ("sites", "drawn"), [("resid_pre", 1), ("head_out_all_pos", 1), ("head_pattern_dest_src_pos", 0)]
)
def test_what_has_too_many_axes_is_not_drawn(sites: str, drawn: int, tmp_path: Path) -> None:
    drawings = _drawings(tmp_path, swept(sites))
    assert len(drawings) == drawn
    if sites == "resid_pre":
        expected = "resid_pre, denoise. A cell is the mean over the pairs that have it, 2 to 3."
        assert drawings[0].caption == expected


def test_findings_name_both_runs() -> None:
    for direction, into in (("denoise", "corrupt"), ("noise", "clean")):
        given = swept("resid_pre", direction=direction)
        ends, self_patch = _findings(given)
        low, high = given.sweep.ends["logit_diff"]
        assert ends.text == (
            f"logit_diff: {low:.3f} on the {into} run that is written into, {high:.3f} on the source run."
        )
        assert self_patch.holds is True


def test_the_first_pair_ends_where_it_is_read() -> None:
    given = swept("resid_pre")
    model = replace(given.model, tokenizer=llama_style_tokenizer([f"w{chr(97 + i)}" for i in range(26)]))
    first = replace(given.pairs[0], position=1)
    clean, corrupt = _shown(replace(given, model=model, pairs=replace(given.pairs, items=(first,))))
    assert clean == f"clean    {model.decode(first.clean_ids[:2])} → {model.decode(first.answer_ids)}"
    assert corrupt == f"corrupt  {model.decode(first.corrupt_ids[:2])} → {model.decode(first.wrong_answer_ids)}"
