"""Two runs side by side: which is which, what they share, which models go together."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from memcirc.metrics import Metric
from memcirc.models import Model, load_model
from memcirc.patching.runs import run
from memcirc.patching.sides import check_direction, check_models, compared
from tests.models import config, random_pairs, small_model

LOGIT_DIFF = [Metric.parse("logit_diff")]


@pytest.mark.parametrize(
    ("direction", "base", "source"), [("denoise", "corrupt", "clean"), ("noise", "clean", "corrupt")]
)
def test_a_direction_says_which_run_is_written_into(direction: str, base: str, source: str) -> None:
    pairs = random_pairs(3, 5)
    comparison, question = compared(small_model("gpt2"), pairs, LOGIT_DIFF, direction=direction)
    assert comparison.base.prompts.ids.tolist() == [list(getattr(p, f"{base}_ids")) for p in pairs]
    assert comparison.source.prompts.ids.tolist() == [list(getattr(p, f"{source}_ids")) for p in pairs]
    assert question.prompts is comparison.base.prompts
    assert question.answers.columns.tolist() == [[*p.answer_ids, *p.wrong_answer_ids] for p in pairs]


def test_what_prompts_share_is_the_same_in_both_runs_to_the_last_bit() -> None:
    model, pairs = small_model("gpt2", dtype="float32"), random_pairs(5, (7, 6, 5), shared=3)
    comparison, _ = compared(model, pairs, LOGIT_DIFF)
    runs = comparison.record(["resid_pre", "mlp_out"])
    assert runs.shared.tolist() == [pair.shared_prefix for pair in pairs]
    for place, value in runs.source.found.items():
        assert torch.equal(value[:, :3], runs.base.found[place][:, :3]), place
    alone = run(comparison.base.weights, comparison.base.prompts, ["mlp_out"])
    torch.testing.assert_close(runs.base.found["mlp_out", 2], alone.found["mlp_out", 2])


def test_two_models_share_nothing_and_each_runs_its_own_weights() -> None:
    base, source, pairs = small_model("gpt2"), small_model("gpt2", seed=1), random_pairs(2, 5, shared=3)
    comparison, _ = compared(base, pairs, LOGIT_DIFF, source)
    runs = comparison.record(["z"])
    assert runs.shared.tolist() == [0, 0]
    assert not comparison.same_model
    expected = source.hooked.run_with_cache(comparison.source.prompts.ids, prepend_bos=False)[1]
    torch.testing.assert_close(runs.source.found["z", 1], expected["blocks.1.attn.hook_z"])
    assert ("v", 0) in runs.base.found
    assert ("v", 0) not in runs.source.found


def test_as_many_examples_fit_as_their_activations_allow_and_some_can_be_taken() -> None:
    comparison, _ = compared(small_model("gpt2"), random_pairs(5, 6), LOGIT_DIFF)
    assert comparison.most_examples(["z"]) > comparison.most_examples(["z", "v", "q"]) > 5
    some = comparison.rows(slice(3, 5))
    assert torch.equal(some.base.prompts.ids, comparison.base.prompts.ids[3:])
    assert torch.equal(some.source.prompts.ids, comparison.source.prompts.ids[3:])


def with_relu() -> Model:
    """A model of the same sizes with another activation."""
    other = config("gpt2")
    other.activation_function = "relu"
    return load_model(AutoModelForCausalLM.from_config(other), device="cpu", dtype="float64")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: small_model("no_norm"), "different shapes: n_layers is 3 in one and 2 in the other"),
        (with_relu, r"activations is \['gelu_new'\] in one and \['relu'\] in the other"),
        (lambda: small_model("gpt2", dtype="float32"), "the two models differ in precision or device; load both alike"),
    ],
)
def test_models_that_do_not_go_together_are_refused(other: object, message: str) -> None:
    model = small_model("gpt2")
    check_models(model, replace(model))
    with pytest.raises(ValueError, match=message):
        check_models(model, other())  # type: ignore[operator]


def test_a_direction_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="direction 'up' is not known; accepted: denoise, noise"):
        check_direction("up")
