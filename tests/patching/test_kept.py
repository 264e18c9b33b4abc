"""A sweep that is kept is read and not measured, and is never another one's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.patching import sweep as module
from memcirc.patching.patches import Patch
from memcirc.patching.result import Sweep
from memcirc.patching.sites import Site
from memcirc.patching.sweep import patch_sweep
from tests.models import small_model

OPTIONS: dict[str, Any] = {"sites": "resid_pre", "metrics": ("logit_diff", "rank")}


@pytest.fixture
def pairs() -> Pairs:
    return Pairs(tuple(Pair((1, 2, 3 + i), (1, 2, 9 + i), (4,), (5,)) for i in range(3)))


def same(a: Sweep, b: Sweep) -> bool:
    told = ("axes", "shape", "cells", "patches", "direction", "notes", "self_patch", "resolution")
    arrays = ("values", "base", "source")
    return (
        a.table.equals(b.table)
        and all(getattr(a, name) == getattr(b, name) for name in told)
        and all(np.array_equal(getattr(a, n)[m], getattr(b, n)[m]) for n in arrays for m in a.values)
    )


def unmeasured(*_: object, **__: object) -> None:
    raise AssertionError("it was measured")


def test_a_kept_sweep_is_read_to_the_last_bit(tmp_path: Path, pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")
    fresh = patch_sweep(model, pairs, **OPTIONS)
    assert same(patch_sweep(model, pairs, **OPTIONS, keep=tmp_path), fresh)
    monkeypatch.setattr(module, "measure", unmeasured)
    assert same(patch_sweep(model, pairs, **OPTIONS, keep=tmp_path), fresh)


def other_weights(model: Model) -> Model:
    assert model.hf is not None
    with torch.no_grad():
        next(model.hf.parameters()).mul_(1.5)
    return model


@pytest.mark.parametrize(
    "change",
    [{"sites": "attn_out"}, {"direction": "noise"}, {"metrics": "logit_diff"}, {"full_passes": True},
     {"sites": [Patch((Site("resid_pre", 0),), operation="scale", amount=0.5)]},
     {"sites": [Patch((Site("resid_pre", 0),), operation="scale", amount=0.25)]}],
)  # fmt: skip
def test_another_sweep_is_measured(change: dict[str, Any], tmp_path: Path, pairs: Pairs) -> None:
    model = small_model("gpt2")
    patch_sweep(model, pairs, **OPTIONS, keep=tmp_path)
    asked = OPTIONS | change
    assert same(patch_sweep(model, pairs, **asked, keep=tmp_path), patch_sweep(model, pairs, **asked))
    assert len(list(tmp_path.iterdir())) == 2


def test_other_pairs_or_weights_are_measured(tmp_path: Path, pairs: Pairs) -> None:
    patch_sweep(small_model("gpt2"), pairs, **OPTIONS, keep=tmp_path)
    patch_sweep(small_model("gpt2"), replace(pairs, items=pairs.items[:2]), **OPTIONS, keep=tmp_path)
    patch_sweep(other_weights(small_model("gpt2")), pairs, **OPTIONS, keep=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_bit_that_has_turned_is_noticed(tmp_path: Path, pairs: Pairs) -> None:
    """Wherever in the file: what is read is measured anew, and never another number."""
    model = small_model("gpt2")
    whole = patch_sweep(model, pairs, **OPTIONS, keep=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for place in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        assert same(patch_sweep(model, pairs, **OPTIONS, keep=tmp_path), whole)
        assert path.read_bytes() == content or place < int.from_bytes(content[:8], "little") + 8


@pytest.mark.parametrize("damage", [b"", b"no tensors", None])
def test_a_damaged_file_is_measured_anew(damage: bytes | None, tmp_path: Path, pairs: Pairs) -> None:
    model = small_model("gpt2")
    whole = patch_sweep(model, pairs, **OPTIONS, keep=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[:-8] if damage is None else damage)
    assert same(patch_sweep(model, pairs, **OPTIONS, keep=tmp_path), whole)
    assert path.read_bytes() == content
