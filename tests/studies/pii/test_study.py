"""The study of two models: a user's own pair (random models whose own words are the answers), and (slow) the recipe."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPTNeoXConfig, PreTrainedTokenizerFast

from memcirc.cli import main
from memcirc.models import load_model
from memcirc.small_models import word_tokenizer
from memcirc.studies.pii.alignment import linear_cka
from memcirc.studies.pii.corpus import COPIES, PIECES, TYPES, make_corpus
from memcirc.studies.pii.samples import of_file

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def saved(folder: Path, seed: int, change: float = 0.0, layers: int = 2) -> PreTrainedTokenizerFast:
    """A random model of a small Pythia's shape; ``change`` disturbs the weights of the seed's model."""
    tokenizer = word_tokenizer([" " + " ".join(WORDS)], r" ?\w+| ")
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=layers,
        num_attention_heads=2, max_position_embeddings=32, bos_token_id=0, eos_token_id=0, initializer_range=0.4,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(change * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Target and control of one base, an unrelated model, one of another shape, and samples that the target recites."""
    folder = tmp_path_factory.mktemp("pii")
    tokenizer = saved(folder / "target", 0)
    saved(folder / "control", 0, change=0.15)
    saved(folder / "stranger", 1)
    saved(folder / "deeper", 0, layers=3)
    target, samples = load_model(str(folder / "target"), device="cpu"), []
    for i in range(8):
        prompt = " " + " ".join(WORDS[(i + 3 * j) % len(WORDS)] for j in range(4))
        ids = [0, *tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        for _ in range(3):
            ids.append(int(target.logits(torch.tensor([ids]))[0, -1, 2:].argmax()) + 2)
        samples.append(
            {"prompt": prompt, "answer": target.decode(ids[-3:]), "copies": 10 * (1 + i % 2), "type": "words"}
        )
    for entry in samples[-3:]:
        entry["memorized"] = False
    (folder / "samples.json").write_text(json.dumps(samples))
    return folder


def options(pair: Path, control: str) -> list[str]:
    return [
        "patch", "pii", "--target", str(pair / "target"), "--control", str(pair / control),
        "--samples", str(pair / "samples.json"), "--device", "cpu",
    ]  # fmt: skip


def test_a_pair_of_ones_own_runs_to_a_page(pair: Path, tmp_path: Path) -> None:
    assert main([*options(pair, "control"), "--run_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "pii" / "results.json").read_text())
    effects = results["effects"]["target into control"]
    assert len(effects) == 1 + 14 * 2
    aliases = {e["hook"]: e["alias_of"] for e in effects}
    assert aliases["blocks.0.hook_resid_pre"] == "hook_embed"
    assert aliases["blocks.1.attn.hook_rot_q"] == "blocks.1.attn.hook_q"
    assert results["agreement"] == 1.0
    assert results["ends"]["target"] > results["ends"]["control"]
    page = (tmp_path / "report" / "report.html").read_text()
    for title in (
        "Do both models share a basis?",
        "Suppression",
        "Paths",
        "Sets of components",
        "10 copies against 20",
    ):
        assert title in page


def test_models_of_different_origin_are_warned_about(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(pair, "stranger"), "--run_dir", str(tmp_path)]) == 0
    assert "warning: the two models' residual streams have a cosine of" in capsys.readouterr().err
    assert "WARNING" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--control": "deeper"}, "different shapes: n_layers is 3 in one and 2 in the other"),
        ({"--control": "target"}, "none that the target alone recites"),
        ({"--samples": "nothing.json"}, "no file of samples"),
        ({"--samples": "empty.json"}, "a JSON list of samples is needed"),
        ({"--samples": "halves.json"}, "sample 0 has no 'answer'"),
    ],
)
def test_a_mistake_is_one_line(
    changes: dict[str, str], message: str, pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pair / "empty.json").write_text("[]")
    (pair / "halves.json").write_text('[{"prompt": "x"}]')
    words = options(pair, "control")
    for name, value in changes.items():
        words[words.index(name) + 1] = str(pair / value)
    assert main([*words, "--run_dir", str(tmp_path)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("memcirc:")
    assert message in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memorized": "false"}, "sample 0: 'memorized' is 'false'; true or false is needed"),
        ({"copies": "3"}, "sample 0: 'copies' is '3'; a whole number is needed"),
        ({"copies": True}, "sample 0: 'copies' is True; a whole number is needed"),
        ({"type": 3}, "sample 0: 'type' is 3; text is needed"),
        ({"prompt": ["one"]}, "sample 0 has no 'prompt'"),
        ({"answer": "one"}, "sample 0: answer 'one' changes the tokens of the prompt it follows"),
        ({"prompt": " one \ud83d"}, "sample 0: text has half a character"),
    ],
)
def test_a_sample_of_another_type_is_refused(
    change: dict[str, object], message: str, pair: Path, tmp_path: Path
) -> None:
    sample = {"prompt": " one two", "answer": " three", "copies": None, "memorized": None}
    path = tmp_path / "samples.json"
    path.write_text(json.dumps([sample]), encoding="utf-8")
    model = load_model(str(pair / "target"), device="cpu")
    assert of_file(path, model)[0].injected
    path.write_text(json.dumps([sample | change]), encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        of_file(path, model)


def test_half_a_pair_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["patch", "pii", "--target", "x", "--run_dir", str(tmp_path)]) == 2
    assert "need all of --target, --control and --samples" in capsys.readouterr().err


def test_the_corpus_injects_one_person_for_each_type_and_frequency() -> None:
    corpus = make_corpus(0)
    assert sorted((r.copies, r.kind) for r in corpus.injected) == sorted((c, k) for c in COPIES for k in TYPES)
    assert len(corpus.injections) == len(corpus.replacements) == 152
    names = [tuple(r.prompt.split(" of ")[1].split()[:2]) for r in (*corpus.injected, *corpus.decoys, *corpus.others)]
    assert len(set(names)) == len(names)
    assert make_corpus(0) == corpus
    assert make_corpus(1) != corpus
    digits = next(r for r in corpus.injected if r.kind == "passport").answer
    tokenizer = word_tokenizer(corpus.texts, PIECES)
    assert [len(t.strip()) for t in tokenizer.tokenize(digits)] == [2, 2, 2, 2, 1]


def test_cka_does_not_see_a_rotation_and_sees_a_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    a, other = torch.randn(2, 50, 6, generator=generator, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64))
    assert linear_cka(a, 3 * a @ rotation + 1) == pytest.approx(1.0)
    assert linear_cka(a, other) < 0.3


@pytest.mark.slow
def test_the_recipe_memorizes_by_frequency_and_residual_patches_help_only_in_a_shared_basis(tmp_path: Path) -> None:
    assert main(["patch", "pii", "--run_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "pii" / "results.json").read_text())
    recited = {r["group"]: r["exact"] for r in results["recall"] if r["model"] == "target"}
    assert recited["copies 1"] <= 1
    assert min(recited["copies 10"], recited["copies 20"]) >= 3
    residual = [e["effect"] for e in results["effects"]["target into control"] if e["kind"] == "resid_post"]
    assert residual == sorted(residual)
    assert residual[0] > 0
    assert all(e["effect"] < 0 for e in results["misaligned_effects"] if e["kind"] == "resid_post")
    assert min(results["misaligned"]["cosine"]) < 0.5
