"""The model in miniature: its shape, that it learns, and that a seed decides it."""

import dataclasses

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from memcirc.demo.training import batches, train
from memcirc.small_models import reproducible


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tiny):
    passages = torch.randint(tiny.vocabulary, (20, tiny.passage_tokens), generator=torch.Generator().manual_seed(0))
    first, again, other = (
        train(config, passages, progress=False).state_dict()
        for config in (tiny, tiny, dataclasses.replace(tiny, seed=1))
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])


def test_training_lowers_the_loss_and_learns_a_passage_by_heart(tiny):
    config = dataclasses.replace(tiny, steps=80, width=32, learning_rate=1e-2)
    passage = torch.randint(tiny.vocabulary, (1, tiny.passage_tokens), generator=torch.Generator().manual_seed(0))
    model = train(config, passage.repeat(8, 1), progress=False)
    recited = model.generate(passage[:, :32], max_new_tokens=32, do_sample=False, pad_token_id=0)
    assert torch.equal(recited, passage)


def test_every_passage_is_seen_once_before_any_is_seen_again(tiny):
    passages = torch.arange(10).reshape(10, 1)
    config = dataclasses.replace(tiny, steps=5, batch_size=4)
    seen = torch.cat(list(batches(config, passages))).flatten().tolist()
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))


def test_training_leaves_the_global_generator_and_the_threads_alone():
    torch.manual_seed(5)
    expected, threads = torch.rand(1), torch.get_num_threads()
    torch.manual_seed(5)
    with reproducible(0, threads=1):
        torch.rand(3)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


def test_the_folder_is_an_ordinary_hugging_face_model_without_dropout(demo):
    model = AutoModelForCausalLM.from_pretrained(demo.model_dir)
    assert model.config.model_type == "gpt_neo"
    assert model.config.attention_layers == ["global", "local"]
    assert model.config.window_size == demo.config.window < demo.config.passage_tokens
    assert model.config.embed_dropout == model.config.attention_dropout == model.config.resid_dropout == 0
    assert (demo.model_dir / "model.safetensors").is_file()


def test_the_tokenizer_reads_any_text_and_adds_nothing(demo):
    tokenizer = AutoTokenizer.from_pretrained(demo.model_dir)
    text = "def f(x):\n\treturn «x» # 日本 \U0001f600\n\n  end"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer) == demo.config.vocabulary
