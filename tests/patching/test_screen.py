"""Attribution patching: exact where the model is linear, better with the QK fix where it is not."""

import numpy as np
import pytest
import torch

from memcirc.metrics import Metric
from memcirc.models import Model
from memcirc.patching.grids import grid
from memcirc.patching.measures import Question
from memcirc.patching.patches import Patch
from memcirc.patching.screen import check_screen, correlation, screen
from memcirc.patching.sides import Comparison, compared
from memcirc.patching.sites import Site
from memcirc.patching.sweep import patch_sweep
from tests.models import random_pairs, small_model
from tests.patching.test_sweep import as_pairs, prompts

LOGIT_DIFF = [Metric.parse("logit_diff")]


def asked(model: Model, data: tuple[torch.Tensor, ...]) -> tuple[Comparison, Question]:
    return compared(model, as_pairs(*data), LOGIT_DIFF)


def exact(model: Model, data: tuple[torch.Tensor, ...], name: str) -> np.ndarray:
    sweep = patch_sweep(model, *data, sites=name)
    return sweep.values["logit_diff"] - sweep.base["logit_diff"]


@pytest.mark.parametrize("name", ["head_v_all_pos", "head_pattern_by_pos", "head_out_by_pos"])
def test_an_effect_is_exact_where_everything_after_it_is_linear(name: str) -> None:
    """Without norm, the last layer's attention outputs of an attention-only model reach the logits linearly."""
    model, data = small_model("attention_only"), prompts()
    patches = grid(name, model, 7).patches
    estimate = screen(*_args(model, data, patches)).numpy()
    last = [i for i, patch in enumerate(patches) if patch.sites[0].layer == 2]
    np.testing.assert_allclose(estimate[last], exact(model, data, name)[last], atol=1e-9)


def _args(model: Model, data: tuple[torch.Tensor, ...], patches: tuple[Patch, ...]) -> tuple[object, object, object]:
    comparison, question = asked(model, data)
    return comparison, patches, question


@pytest.mark.parametrize("name", ["head_q_by_pos", "head_k_by_pos", "head_q_all_pos", "head_k_all_pos"])
def test_the_qk_fix_makes_queries_and_keys_exact_where_only_the_softmax_is_not_linear(name: str) -> None:
    model, data = small_model("attention_only"), prompts()
    patches = grid(name, model, 7).patches
    last = [i for i, patch in enumerate(patches) if patch.sites[0].layer == 2]
    fixed, plain = (screen(*_args(model, data, patches), qk_fix=fix).numpy()[last] for fix in (True, False))
    truth = exact(model, data, name)[last]
    np.testing.assert_allclose(fixed, truth, atol=1e-9)
    assert np.abs(plain - truth).max() > 1e-2


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neo", "gpt_neox", "llama_grouped"])
def test_the_qk_fix_beats_plain_gradients_on_every_architecture(arch: str) -> None:
    model, data = small_model(arch), prompts()
    names = ("head_q_by_pos", "head_k_by_pos")
    patches = tuple(patch for name in names for patch in grid(name, model, 7).patches)
    truth = np.concatenate([exact(model, data, name) for name in names]).ravel()
    fixed, plain = (screen(*_args(model, data, patches), qk_fix=fix).numpy().ravel() for fix in (True, False))
    assert correlation(fixed, truth) > correlation(plain, truth)


def test_grad_drop_shows_what_cancels() -> None:
    """Two layers whose effects cancel in the gradient: dropping either leaves the other."""
    model, data = small_model("gpt2"), prompts()
    patches = grid("resid_pre", model, 7).patches
    comparison, question = asked(model, data)
    dropped = screen(comparison, patches, question, grad_drop=True)
    assert (dropped >= 0).all()
    assert dropped.shape == (21, 3)
    late = [i for i, patch in enumerate(patches) if patch.sites[0].positions != (6,) and patch.sites[0].layer == 2]
    assert (dropped[late] > 0).any(), "what reaches the answer through attention still counts"


def test_verification_measures_the_top_and_a_sample_and_no_more() -> None:
    truth = np.arange(40.0)
    asked: list[int] = []

    def measure(numbers: list[int]) -> np.ndarray:
        asked.extend(numbers)
        return truth[numbers]

    found, measured = check_screen(truth + 0.01, measure, top=5, sample=10)
    assert asked[:5] == [39, 38, 37, 36, 35]
    assert len(asked) == len(set(asked)) == 15
    assert found.recall == 1.0
    assert found.correlation_random == pytest.approx(1.0)
    assert measured[39] == 39.0
    worthless, _ = check_screen(-np.abs(truth - 20), measure, top=5, sample=10)
    assert worthless.recall < 1


def test_what_cannot_be_screened_is_refused() -> None:
    comparison, question = asked(small_model("gpt2"), prompts())
    for patch in (Patch((Site("embed"),)), Patch((Site("ln1_scale", 0),)), Patch((Site("z", 0),), operation="zero")):
        with pytest.raises(ValueError, match=r"not screened|not a place|only replacements"):
            screen(comparison, [patch], question)


@pytest.mark.parametrize("grad_drop", [False, True])
def test_an_example_too_short_for_a_patch_has_no_estimate(grad_drop: bool) -> None:
    model = small_model("gpt2")
    pairs = random_pairs(2, (5, 3))
    comparison, question = compared(model, pairs, LOGIT_DIFF)
    patches = [Patch((Site("z", 1, (position,)),)) for position in (2, 3)]
    found = screen(comparison, patches, question, grad_drop=grad_drop)
    assert found.isnan().tolist() == [[False, False], [False, True]]
