"""Named sweeps: which site stands in which cell, and hook names and patches as a list."""

import numpy as np
import pytest

from memcirc.patching.grids import SWEEPS, grid, layout_of
from memcirc.patching.patches import Patch
from memcirc.patching.sites import KINDS, Site
from tests.models import HEADS, LAYERS, small_model

LENGTH = 3
CELLS = [
    ("resid_pre", (LAYERS, LENGTH), (2, 1), Site("resid_pre", 2, (1,))),
    ("head_out_all_pos", (LAYERS, HEADS), (1, 3), Site("z", 1, None, (3,))),
    ("head_v_by_pos", (LAYERS, LENGTH, HEADS), (0, 2, 1), Site("v", 0, (2,), (1,))),
    ("head_pattern_by_pos", (LAYERS, HEADS, LENGTH), (0, 1, 2), Site("pattern", 0, (2,), (1,))),
    ("head_pattern_dest_src_pos", (LAYERS, HEADS, LENGTH, LENGTH), (2, 1, 2, 0), Site("pattern", 2, (2,), (1,), (0,))),
    ("block_every", (3, LAYERS, LENGTH), (1, 2, 0), Site("attn_out", 2, (0,))),
    ("head_all_pos_every", (5, LAYERS, HEADS), (4, 1, 2), Site("pattern", 1, None, (2,))),
    ("head_by_pos_every", (5, LAYERS, LENGTH, HEADS), (4, 1, 2, 3), Site("pattern", 1, (2,), (3,))),
]


@pytest.mark.parametrize(("name", "shape", "cell", "where"), CELLS)
def test_cells_by_hand(name: str, shape: tuple[int, ...], cell: tuple[int, ...], where: Site) -> None:
    found = grid(name, small_model("gpt2"), LENGTH)
    assert found.shape == shape
    assert len(found.axes) == len(shape)
    assert found.patches[found.cells.index(cell)].sites == (where,)


@pytest.mark.parametrize("name", SWEEPS)
def test_every_cell_of_a_sweep_has_one_patch_of_its_own(name: str) -> None:
    found = grid(name, small_model("gpt2"), LENGTH)
    assert len(set(found.cells)) == len(found.cells) == len(set(found.patches)) == np.prod(found.shape)
    assert grid(f"get_act_patch_{name.replace('head_', 'attn_head_')}", small_model("gpt2"), LENGTH) == found


def test_heads_that_are_shared_leave_cells_empty() -> None:
    found = grid("head_all_pos_every", small_model("llama_grouped"), LENGTH)
    patched = {kind: [cell for cell in found.cells if cell[0] == i] for i, kind in enumerate("oqkvp")}
    assert {kind: len(cells) for kind, cells in patched.items()} == {"o": 12, "q": 12, "k": 6, "v": 6, "p": 12}
    assert {cell[2] for cell in patched["k"]} == {0, 1}


def test_hook_names_and_patches_in_the_order_given() -> None:
    model, patch = small_model("gpt2"), Patch((Site("z", 0, (1,)), Site("z", 1)), "both")
    found = layout_of(["blocks.1.hook_mlp_out", patch], model, LENGTH, LENGTH)
    assert [p.label for p in found.patches] == ["blocks.1.hook_mlp_out", "both"]
    assert (found.axes, found.shape, found.cells) == (("patch",), (2,), ((0,), (1,)))
    assert layout_of("blocks.0.hook_attn_out", model, LENGTH, LENGTH).patches[0].sites == (Site("attn_out", 0),)
    assert layout_of("attn_out", model, LENGTH, LENGTH).name == "attn_out"


def test_what_is_no_sweep_is_refused() -> None:
    model = small_model("gpt2")
    with pytest.raises(ValueError, match="no site is named; accepted: hook names, patches, or one of resid_pre"):
        layout_of([], model, LENGTH, LENGTH)
    with pytest.raises(ValueError, match="sweep 'head_outs' does not exist; nearest: head_out"):
        grid("head_outs", model, LENGTH)
    with pytest.raises(ValueError, match="position 3 is out of range"):
        layout_of([Patch((Site("z", 0, (3,)),))], model, LENGTH, LENGTH)


def test_names_of_sweeps_are_those_of_kinds() -> None:
    single = {kind.swept for kind in KINDS.values() if kind.swept and kind.shape == "stream"}
    assert single == {name for name in SWEEPS if not name.startswith("head_")} - {"block_every"}
