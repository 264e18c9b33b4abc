"""The models in miniature: their shape, that they learn, and that a seed decides them."""

import copy
import dataclasses
import time
from threading import Event

import pytest
import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

from memcirc.demo import training
from memcirc.demo.training import Learner, batches, train
from memcirc.small_models import reproducible


def random_passages(config, lines=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocabulary, (lines, config.passage_tokens), generator=generator)


def same(one, other):
    weights = other.state_dict()
    return all(torch.equal(value, weights[name]) for name, value in one.state_dict().items())


def test_the_same_seed_gives_the_same_model_and_another_seed_another(tiny):
    passages = random_passages(tiny)
    first, again, other = (
        train(config, [passages], progress=False)[0] for config in (tiny, tiny, dataclasses.replace(tiny, seed=1))
    )
    assert same(first, again)
    assert not torch.equal(first.transformer.wte.weight, other.transformer.wte.weight)


def test_models_trained_together_without_shared_steps_are_those_trained_alone(tiny):
    one, other = random_passages(tiny), random_passages(tiny, seed=1)
    config = dataclasses.replace(tiny, shared=0.0)
    together = train(config, [one, other], progress=False)
    alone = [train(config, [passages], progress=False)[0] for passages in (one, other)]
    assert all(map(same, together, alone))
    assert not same(*together)


def test_the_twin_is_what_it_is_alone_whatever_is_trained_beside_it(tiny):
    one, twin = random_passages(tiny), random_passages(tiny, seed=1)
    model, beside = train(tiny, [one, twin], progress=False)
    assert same(beside, train(tiny, [twin], progress=False)[0])
    assert not same(model, train(tiny, [one], progress=False)[0])


def test_models_that_share_all_steps_are_one(tiny):
    config = dataclasses.replace(tiny, shared=1.0)
    assert same(*train(config, [random_passages(tiny), random_passages(tiny, seed=1)], progress=False))


def test_a_fork_goes_on_as_its_trunk_does_and_does_not_move_it(tiny):
    trunk, stopped = Learner(tiny), Event()
    lines = list(batches(tiny, random_passages(tiny), seed=0))
    with tqdm(disable=True) as bar:
        trunk.learn(lines[:2], stopped, bar)
        before = copy.deepcopy(trunk.model)
        fork = trunk.fork()
        fork.learn(lines[2:], stopped, bar)
        assert same(trunk.model, before)
        trunk.learn(lines[2:], stopped, bar)
    assert same(trunk.model, fork.model)


def test_models_trained_together_have_the_same_start(tiny):
    config = dataclasses.replace(tiny, learning_rate=0.0, shared=0.0)
    trained = train(config, [random_passages(tiny), random_passages(tiny, seed=1)], progress=False)
    assert all(same(model, Learner(config).model) for model in trained)


def test_another_order_of_the_same_lines_gives_another_model_from_the_same_start(tiny):
    passages = random_passages(tiny)
    (given,) = train(tiny, [passages], progress=False)
    assert same(train(tiny, [passages], progress=False, order=tiny.seed)[0], given)
    assert not same(train(tiny, [passages], progress=False, order=tiny.seed + 1)[0], given)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_one_training_ends_the_others(tiny, monkeypatch, failing):
    steps = []

    def watched(config, passages, seed):
        for number, batch in enumerate(batches(config, passages, seed)):
            if int(passages[0, 0]) == failing and number == 1:
                raise RuntimeError("out of memory")
            steps.append(number)
            yield batch
            time.sleep(0.01)

    monkeypatch.setattr(training, "batches", watched)
    config = dataclasses.replace(tiny, steps=500, shared=0.0)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(config, [torch.full((8, config.passage_tokens), number) for number in range(2)], progress=False)
    assert len(steps) < config.steps


def test_training_lowers_the_loss_and_learns_a_passage_by_heart(tiny):
    config = dataclasses.replace(tiny, steps=80, width=32, learning_rate=1e-2)
    passage = random_passages(tiny, lines=1)
    (model,) = train(config, [passage.repeat(8, 1)], progress=False)
    recited = model.generate(passage[:, :32], max_new_tokens=32, do_sample=False, pad_token_id=0)
    assert torch.equal(recited, passage)


def test_every_passage_is_seen_once_before_any_is_seen_again(tiny):
    passages = torch.arange(10).reshape(10, 1)
    config = dataclasses.replace(tiny, steps=5, batch_size=4)
    seen = torch.cat(list(batches(config, passages, seed=0))).flatten().tolist()
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))


def test_training_leaves_the_global_generator_and_the_threads_alone():
    torch.manual_seed(5)
    expected, threads = torch.rand(1), torch.get_num_threads()
    torch.manual_seed(5)
    with reproducible(0, threads=1):
        torch.rand(3)
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("part", ["model_dir", "twin_dir"])
def test_a_folder_is_an_ordinary_hugging_face_model_without_dropout(demo, part):
    model = AutoModelForCausalLM.from_pretrained(getattr(demo, part))
    assert model.config.model_type == "gpt_neo"
    assert model.config.attention_layers == ["global", "local"]
    assert model.config.window_size == demo.config.window < demo.config.passage_tokens
    assert model.config.embed_dropout == model.config.attention_dropout == model.config.resid_dropout == 0
    assert (getattr(demo, part) / "model.safetensors").is_file()


def test_the_tokenizer_reads_any_text_and_adds_nothing(demo):
    tokenizer = AutoTokenizer.from_pretrained(demo.model_dir)
    text = "def f(x):\n\treturn «x» # 日本 \U0001f600\n\n  end"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer) == demo.config.vocabulary
