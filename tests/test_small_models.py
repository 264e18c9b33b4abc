"""What small models are trained with, by hand."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from memcirc.small_models import BOS, UNKNOWN, Recipe, fit, no_bar_for_saving, reproducible, save, word_tokenizer


def test_the_learning_rate_rises_in_a_line_and_falls_as_a_cosine_to_a_tenth() -> None:
    recipe = Recipe(14, 1.0, warmup=4)
    assert [recipe.share(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert [recipe.share(step) for step in (4, 9, 14)] == pytest.approx([1.0, 0.55, 0.1])


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_one_step_is_adams_and_clipping_does_not_change_its_direction(clip: float | None) -> None:
    """Adam's first step is the learning rate itself, whatever the gradient's size, less the decay of 0.01."""
    x = torch.nn.Parameter(torch.tensor([2.0, -3.0]))
    last = fit([x], [None], lambda _: (5 * x).square().sum(), Recipe(1, 0.1, warmup=1, clip=clip), "", False)
    assert last == pytest.approx(25 * 13.0)
    expected = torch.tensor([2.0 * (1 - 0.001) - 0.1, -3.0 * (1 - 0.001) + 0.1])
    torch.testing.assert_close(x.detach(), expected, atol=1e-4, rtol=0)


def test_what_is_frozen_stays_and_what_is_not_reaches_the_minimum() -> None:
    x, frozen = torch.nn.Parameter(torch.tensor(4.0)), torch.nn.Parameter(torch.tensor(1.0), requires_grad=False)
    with torch.no_grad():  # training turns gradients on by itself
        last = fit([x, frozen], [None] * 300, lambda _: (x - frozen) ** 2, Recipe(300, 0.1), "", False)
    assert last < 1e-4
    assert frozen.item() == 1.0


def test_pieces_have_tokens_in_order_of_first_use_and_come_back_as_text() -> None:
    tokenizer = word_tokenizer(["to be or not", " to be"], r" ?\w+")
    ids = tokenizer("to be to mind", add_special_tokens=False)["input_ids"]
    assert ids == [2, 3, 6, tokenizer.unk_token_id]
    assert (tokenizer.bos_token, tokenizer.unk_token) == (BOS, UNKNOWN)
    assert tokenizer.decode(tokenizer("to be or not", add_special_tokens=False)["input_ids"]) == "to be or not"


def test_a_seeded_stretch_is_repeatable_and_leaves_the_generator_and_threads_as_they_were() -> None:
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    threads, drawn = torch.get_num_threads(), []
    for _ in range(2):
        with reproducible(3, 1):
            drawn.append(torch.rand(2))
            assert torch.get_num_threads() == 1
    assert torch.equal(*drawn)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(2), expected)
    with pytest.raises(RuntimeError, match="midway"), reproducible(3, 1):
        raise RuntimeError("midway")
    assert torch.get_num_threads() == threads


def test_a_saved_model_is_read_back_with_or_without_a_tokenizer(tmp_path: Path) -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=5, n_embd=8, n_layer=1, n_head=2, n_positions=4))
    for tokenizer in (None, word_tokenizer(["a b"], r" ?\w+")):
        folder = tmp_path / str(tokenizer is None)
        save(model, tokenizer, folder)
        found = AutoModelForCausalLM.from_pretrained(folder).state_dict()
        assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())
        assert (folder / "tokenizer.json").exists() == (tokenizer is not None)


def test_transformers_bar_is_as_before_after_a_save() -> None:
    shown = logging.is_progress_bar_enabled()
    with no_bar_for_saving():
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled() == shown
