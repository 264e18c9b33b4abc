"""The page of a sweep by its numbers, on pairs of one document."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from memcirc.studies.sweep.page import _drawings, _findings, _panels, _shown, _strongest
from tests.models import llama_style_tokenizer
from tests.studies.sweep.made import swept


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
    assert list(found) == ["residual stream before the layer", "attention output", "MLP output"]
    np.testing.assert_array_equal(found["MLP output"], blocks.matrix()[2])
    heads = swept("head_by_pos_every").sweep
    found = _panels(heads, heads.matrix(), "head_by_pos_every")
    assert list(found)[:5] == [*(f"head output, head {head}" for head in range(4)), "query, head 0"]
    np.testing.assert_array_equal(found["attention pattern, head 3"], heads.matrix()[4, :, :, 3])
    alone = swept("head_pattern_by_pos").sweep
    np.testing.assert_array_equal(_panels(alone, alone.matrix(), "p")["p, head 2"], alone.matrix()[:, 2])


@pytest.mark.parametrize("sites", ["resid_pre", "head_out_all_pos", "head_pattern_dest_src_pos"])
def test_every_sweep_has_a_figure(sites: str, tmp_path: Path) -> None:
    (drawing,) = _drawings(tmp_path, swept(sites))
    if sites == "resid_pre":
        assert drawing.caption == "resid_pre, denoising. A cell is the mean over the pairs that have it, 2 to 3."
    if sites == "head_pattern_dest_src_pos":
        assert drawing.caption == ("The 24 strongest of 300 places, denoising.")
        assert "attention pattern of head" in drawing.svg


def test_findings_name_both_runs() -> None:
    for direction, into in (("denoise", "corrupt"), ("noise", "clean")):
        given = swept("resid_pre", direction=direction)
        _, ends, self_patch = _findings(given)
        low, high = given.sweep.ends["logit_diff"]
        assert ends.text == (
            f"The logit difference (answer minus wrong answer): {low:.3f} on the {into} run that is written into, "
            f"{high:.3f} on the source run."
        )
        assert self_patch.holds is True


@pytest.mark.parametrize("normalize", [True, False])
def test_the_finding_is_one_sentence_about_the_place_that_moves_most(normalize: bool) -> None:
    given = swept("resid_pre", normalize)
    best, text = given.places[0], _findings(given)[0].text
    assert re.fullmatch(r"residual stream before layer \d at position \d", best.words)
    assert f"places the {best.words} moves" in text
    assert f"{best.effect:.2f}" in text
    assert ("of the way" in text) == normalize


def test_a_single_pair_has_its_tokens_as_labels() -> None:
    given = swept("resid_pre")
    model = replace(given.model, tokenizer=llama_style_tokenizer([f"w{chr(97 + i)}" for i in range(26)]))
    pair = given.pairs[0]
    alone = replace(given, model=model, pairs=replace(given.pairs, items=(pair,)))
    texts = [[model.decode([i]).strip() for i in ids] for ids in (pair.clean_ids, pair.corrupt_ids)]
    differs = [i for i, (a, b) in enumerate(zip(*texts, strict=True)) if a != b]
    assert all("/" in alone.positions[i] for i in differs)
    assert [label.split()[0] for label in alone.positions] == [str(i) for i in range(len(pair))]
    assert list(given.positions) == ["0", "1", "2", "3", "4"]


def test_the_first_pair_ends_where_it_is_read() -> None:
    given = swept("resid_pre")
    model = replace(given.model, tokenizer=llama_style_tokenizer([f"w{chr(97 + i)}" for i in range(26)]))
    first = replace(given.pairs[0], position=1)
    clean, corrupt = _shown(replace(given, model=model, pairs=replace(given.pairs, items=(first,))))
    assert clean == f"clean    {model.decode(first.clean_ids[:2])} → {model.decode(first.answer_ids)}"
    assert corrupt == f"corrupt  {model.decode(first.corrupt_ids[:2])} → {model.decode(first.wrong_answer_ids)}"
