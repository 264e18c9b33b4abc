"""Plain runs: what TransformerLens caches of the same run, and keys and values of a prefix."""

import pytest
import torch
from torch import Tensor

from memcirc.decoder.workspace import Workspace
from memcirc.engine import plain
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import Frame, batch_bytes, frames
from memcirc.engine.plain import PlainRun, plain_run, prefix_pass
from memcirc.engine.values import embedding
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from tests.models import random_pairs, small_model

NAMES = ["gpt2", "gpt_neo", "gpt_neox", "llama_ungrouped", "attention_only"]
PAIRS = random_pairs(2, (7, 6), shared=3)


def run_of(
    model: Model, pairs: Pairs, share_prefix: bool, whole: bool, prompt: str = "clean"
) -> tuple[Frame, PlainRun]:
    weights = model.weights
    (frame,) = frames(weights, pairs, None, share_prefix, False)
    work = Workspace(torch.device("cpu"))
    with torch.no_grad():
        prefix = prefix_pass(weights, frame, work, work)
        batch = EngineBatch(weights, frame, prefix, work)
        return frame, plain_run(batch, embedding(weights, frame, prompt), whole)


def cached(model: Model, pair: Pair, prompt: str) -> dict[str, Tensor]:
    ids = torch.tensor([pair.clean_ids if prompt == "clean" else pair.corrupt_ids])
    with torch.no_grad():
        cache = model.hooked.run_with_cache(ids, prepend_bos=False)[1]
    return {name: value[0] for name, value in cache.items()}


@pytest.mark.parametrize("prompt", ["clean", "corrupt"])
@pytest.mark.parametrize("share_prefix", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_sources_write_and_branches_read_what_the_hooks_see(name: str, share_prefix: bool, prompt: str) -> None:
    model = small_model(name)
    frame, run = run_of(model, PAIRS, share_prefix, whole=True, prompt=prompt)
    for row, index in enumerate(frame.index.tolist()):
        pair, cache = PAIRS[index], cached(model, PAIRS[index], prompt)
        start, stop = int(frame.start[row]), len(PAIRS[index])
        inside = slice(0, stop - start)
        torch.testing.assert_close(run.outputs.embed[row, 0, inside], cache["blocks.0.hook_resid_pre"][start:stop])
        for layer, z in enumerate(run.outputs.z):
            torch.testing.assert_close(z[row, 0, inside], cache[f"blocks.{layer}.attn.hook_z"][start:stop].flatten(1))
            before = cache[f"blocks.{layer}.hook_resid_pre"][start:stop]
            torch.testing.assert_close(run.residuals.attention[layer][row, 0, inside], before)
            for letter, part in (("q", run.heads.query), ("k", run.heads.key), ("v", run.heads.value)):
                expected = cache[f"blocks.{layer}.attn.hook_{letter}"][start:stop].transpose(0, 1)
                actual = part[layer][row, :, 0, inside]
                grouped = actual.repeat_interleave(len(expected) // len(actual), 0)
                torch.testing.assert_close(grouped, expected.repeat_interleave(len(grouped) // len(expected), 0))
        for layer, out in enumerate(run.outputs.mlp):
            torch.testing.assert_close(out[row, 0, inside], cache[f"blocks.{layer}.hook_mlp_out"][start:stop])
        last = cache[f"blocks.{model.hooked.cfg.n_layers - 1}.hook_resid_post"][pair.read_at]
        torch.testing.assert_close(run.residuals.final[row, 0, 0], last)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_block_runs_at_the_read_positions_unless_all_are_wanted(name: str) -> None:
    frame, read = run_of(small_model(name), PAIRS, True, whole=False)
    _, whole = run_of(small_model(name), PAIRS, True, whole=True)
    for parts, whole_parts in (
        (read.outputs.z, whole.outputs.z),
        (read.outputs.mlp, whole.outputs.mlp),
        (read.residuals.mlp, whole.residuals.mlp),
    ):
        for i, (some, every) in enumerate(zip(parts, whole_parts, strict=True)):
            torch.testing.assert_close(some, frame.at_read(every, 2) if i == len(parts) - 1 else every)
    torch.testing.assert_close(read.heads.query[-1], frame.at_read(whole.heads.query[-1], 3))
    torch.testing.assert_close(read.heads.key[-1], whole.heads.key[-1])
    torch.testing.assert_close(read.residuals.attention[-1], whole.residuals.attention[-1])
    torch.testing.assert_close(read.residuals.final, whole.residuals.final)


def test_a_prefix_of_no_token_has_no_keys() -> None:
    model, work = small_model("gpt2"), Workspace(torch.device("cpu"))
    (frame,) = frames(model.weights, random_pairs(1, 5), None, True, False)
    assert prefix_pass(model.weights, frame, work, work) is None


def test_a_prefix_is_the_same_some_pairs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, pairs = small_model("gpt2"), random_pairs(5, (6, 9, 7), shared=4)
    (frame,) = frames(model.weights, pairs, None, True, False)
    found = []
    for tokens in (1024, 2 * frame.prefix.shape[1], 1):
        monkeypatch.setattr(plain, "BYTES_A_TOKEN", batch_bytes(torch.device("cpu")) // tokens)
        work = Workspace(torch.device("cpu"))
        with torch.no_grad():
            found.append(prefix_pass(model.weights, frame, work, work))
    for some in found[1:]:
        for entry, whole in zip(some, found[0], strict=True):
            torch.testing.assert_close(entry.key, whole.key)
            torch.testing.assert_close(entry.value, whole.value)


@pytest.mark.parametrize("name", ["gpt2", "llama_grouped"])
def test_keys_of_a_prefix_are_those_of_the_whole_prompt_and_outlive_the_work_space(name: str) -> None:
    model, pairs = small_model(name), random_pairs(1, 6, shared=4)
    weights = model.weights
    (frame,) = frames(weights, pairs, None, True, False)
    work, store = Workspace(torch.device("cpu")), Workspace(torch.device("cpu"))
    with torch.no_grad():
        kept = prefix_pass(weights, frame, work, store)
        assert kept is not None
        before = [(entry.key.clone(), entry.value.clone()) for entry in kept]
        (other,) = frames(weights, random_pairs(1, 6, shared=4, seed=9), None, True, False)
        prefix_pass(weights, other, work, Workspace(torch.device("cpu")))
    whole_frame, run = run_of(model, pairs, False, whole=True)
    batch = EngineBatch(weights, whole_frame, None, work)
    for layer, (key, value) in enumerate(before):
        assert torch.equal(kept[layer].key, key)
        torch.testing.assert_close(key, batch.turned_key(layer, run.heads.key[layer])[:, :, 0, :4])
        torch.testing.assert_close(value, run.heads.value[layer][:, :, 0, :4])
