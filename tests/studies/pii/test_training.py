"""Training of the two models, some steps of it: what they share and what they do not."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from memcirc.studies.pii import training
from memcirc.studies.pii.corpus import make_corpus


def trained(folder: Path, seed: int, misaligned: bool = False) -> dict[str, dict[str, torch.Tensor]]:
    training.train_all(make_corpus(seed), seed, misaligned, folder, False)
    return {path.name: AutoModelForCausalLM.from_pretrained(path).state_dict() for path in sorted(folder.iterdir())}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BASE_STEPS": 1, "BASE_BATCH": 4, "CYCLES": 1, "BATCH": 300, "LAYERS": 1}.items():
        monkeypatch.setattr(training, name, value)


def test_target_and_control_come_of_one_base_and_a_misaligned_control_of_another(tmp_path: Path) -> None:
    found = trained(tmp_path / "one", 0, misaligned=True)
    assert list(found) == ["control", "misaligned", "target"]
    target, control, other = (found[name]["gpt_neox.embed_in.weight"] for name in ("target", "control", "misaligned"))
    near, far = (torch.nn.functional.cosine_similarity(target, x).mean() for x in (control, other))
    assert near > 0.95
    assert abs(far) < 0.2
    assert not torch.equal(target, control)


def test_a_seed_makes_the_same_models_again(tmp_path: Path) -> None:
    first, again, other = (trained(tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert all(torch.equal(first["target"][key], again["target"][key]) for key in first["target"])
    key = "gpt_neox.layers.0.mlp.dense_h_to_4h.weight"
    assert not torch.equal(first["target"][key], other["target"][key])


def test_documents_are_padded_with_what_no_loss_counts() -> None:
    tokenizer = training.word_tokenizer(["a b c"], r" ?\w+")
    found = training._padded(tokenizer, ["a b", "a"])
    bos = tokenizer.bos_token_id
    assert found.tolist() == [[bos, 2, 3], [bos, 2, training.IGNORED]]
