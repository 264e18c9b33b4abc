"""The small model's training, some steps of it: what is learned, kept and read back."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from memcirc.small_models import Recipe
from memcirc.studies.latent import training
from memcirc.studies.latent.task import OPERATIONS, VOCABULARY, question
from memcirc.studies.latent.training import Projection, load_projection, train


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "CHAIN": Recipe(2, 3e-3),
        "UNROLL": Recipe(1, 1e-4),
        "CHAIN_BATCH": 4,
        "UNROLL_BATCH": 4,
    }.items():
        monkeypatch.setattr(training, name, value)


def test_a_seed_makes_the_same_model_and_projection_again(tmp_path: Path) -> None:
    kept = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(seed, tmp_path / name, False)
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name)
        kept.append({**model.state_dict(), **load_projection(tmp_path / name).state_dict()})
    assert all(torch.equal(kept[0][key], kept[1][key]) for key in kept[0])
    assert not torch.equal(kept[0]["layers.0.weight"], kept[2]["layers.0.weight"])
    assert not any(p.requires_grad for p in load_projection(tmp_path / "a").parameters())


def test_a_projection_hits_vectors_as_large_as_the_embeddings() -> None:
    torch.manual_seed(0)
    found = Projection()(torch.randn(50, training.WIDTH))
    assert found.std().item() == pytest.approx(training.INITIAL_SPREAD, rel=0.05)
    assert found.mean().abs() < 1e-6


def test_a_loss_falls_where_the_chain_says_its_results() -> None:
    """With the right results in the places of the thoughts the loss is lower than with others."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=64, n_layer=1, n_head=4, n_positions=24)).eval()
    projection, asked = Projection(), [question(3, [14, 29, 10, 21, 19, 28])]
    optimiser = torch.optim.Adam([*model.parameters(), *projection.parameters()], 3e-3)
    for loss in (training._chain_loss, training._unroll_loss):
        before = loss(model, projection, asked).item()
        for _ in range(30):
            optimiser.zero_grad()
            loss(model, projection, asked).backward()
            optimiser.step()
        assert loss(model, projection, asked).item() < before / 2
    with torch.no_grad():
        hidden = model.transformer(input_ids=torch.tensor([list(asked[0].ids)])).last_hidden_state[:, -1]
    assert model.lm_head(hidden).argmax(-1).item() == asked[0].results[0]
    assert len(asked[0].results) == OPERATIONS
