import pytest
import torch

from memcirc.patching import engine, literal
from memcirc.patching.sweep import patch_sweep
from tests.micro_models import m1
from tests.models import small_model
from tests.patching.test_sweep import prompts


def test_a_site_that_does_nothing_is_an_error() -> None:
    model, pairs = m1()
    pair = pairs[0]
    with pytest.raises(ValueError, match=r"writing noise at blocks\.0\.attn\.hook_q changes nothing"):
        patch_sweep(model, [pair.clean_ids], [pair.corrupt_ids], [1], [0], sites=["blocks.0.attn.hook_q"])


def test_m1_by_hand() -> None:
    """Clean [2, 1] gives 3, corrupt [1, 0] gives 0. The head's output of the clean run alone: residual (1, 0) + (2, 4),
    objective 1; the clean embedding at the last position: (0, 1) + (0.5 (0, 1) + 0.5 (0, 1)) diag(2, 4) = (0, 5)."""
    model, pairs = m1()
    pair = pairs[0]
    sweep = patch_sweep(
        model, [pair.clean_ids], [pair.corrupt_ids], [1], [0],
        sites=["blocks.0.hook_attn_out", "blocks.0.attn.hook_v", "blocks.0.hook_resid_pre"],
    )  # fmt: skip
    assert sweep.effects(normalized=False).tolist() == pytest.approx([1.0, 1.0, 3.0])
    by_position = patch_sweep(model, [pair.clean_ids], [pair.corrupt_ids], [1], [0])
    assert by_position.matrix(normalized=False)[0, 1] == pytest.approx(5.0)


def test_an_engine_that_loses_a_write_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine._Chunk, "at", lambda self, kind, layer, value: value)
    with pytest.raises(ValueError, match=r"writing noise at .* changes nothing"):
        patch_sweep(small_model("gpt2"), *prompts())


def test_an_engine_that_runs_another_model_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "combined", lambda current, value, operation, amount: value + 1)
    with pytest.raises(ValueError, match="what is already there changes the run"):
        patch_sweep(small_model("gpt2"), *prompts())


def test_hooks_and_switches_are_gone_after_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model("gpt2")

    def fail(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("interrupted")

    monkeypatch.setattr(literal, "combined", fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        patch_sweep(model, *prompts(), sites=["blocks.1.attn.hook_result"])
    assert literal.hook_count(model.hooked) == 0
    assert model.hooked.cfg.use_attn_result is False
