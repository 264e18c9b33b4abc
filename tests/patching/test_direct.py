import pytest
import torch

from memcirc.patching.direct import direct_effects
from memcirc.patching.prompts import prompts_of
from tests.micro_models import m1
from tests.models import small_model
from tests.patching.test_sweep import as_pairs, prompts


@pytest.mark.parametrize("arch", ["gpt2", "gpt_neo", "gpt_neox", "llama_grouped", "no_norm", "attention_only"])
def test_direct_effects_add_up_to_the_logit_difference(arch: str) -> None:
    model, (clean, _, answer, wrong) = small_model(arch), prompts()
    pairs = as_pairs(*prompts())
    logits, rows = model.hooked(clean)[:, -1], torch.arange(3)
    asked, _ = prompts_of(model, pairs)
    difference = direct_effects(model.weights, asked, answer, wrong)
    torch.testing.assert_close(difference.total, logits[rows, answer] - logits[rows, wrong])
    alone = direct_effects(model.weights, asked, answer)
    torch.testing.assert_close(alone.total, logits[rows, answer])
    centred = direct_effects(model.weights, asked, answer, against_mean=True)
    torch.testing.assert_close(centred.total, logits[rows, answer] - logits.mean(-1))


def test_m1_by_hand() -> None:
    """Clean [2, 1]: the embedding (0, 1) gives 1, the head's (2, 4) gives 2."""
    model, pairs = m1()
    found = direct_effects(model.weights, prompts_of(model, pairs)[0], torch.tensor([1]), torch.tensor([0]))
    assert found.embed.item() == pytest.approx(1.0)
    assert found.heads.item() == pytest.approx(2.0)
    assert found.biases.item() == pytest.approx(0.0)
