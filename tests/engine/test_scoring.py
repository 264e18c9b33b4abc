"""Scoring: chunks of variants, sums over batches, and what a batch compares with."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from memcirc.engine import frame as frame_module
from memcirc.engine import scoring as scoring_module
from memcirc.engine.request import Request
from memcirc.engine.scoring import ScoredBatch, Scoring
from memcirc.models import Model, load_model
from memcirc.pairs.record import Pairs
from tests.models import D_VOCAB, random_pairs, small_model

MODEL = small_model("gpt2")


def long_reader() -> Model:
    """A llama of 16 numbers a position that reads 512 of them, in float32."""
    facts = LlamaConfig(
        vocab_size=D_VOCAB, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=512,
    )  # fmt: skip
    return load_model(LlamaForCausalLM(facts).eval(), "cpu")


def batches(pairs: Pairs, **options: object) -> tuple[Scoring, list[ScoredBatch]]:
    scoring = Scoring(Request(MODEL, pairs, **options))  # type: ignore[arg-type]
    with torch.no_grad():
        return scoring, list(scoring)


def scored(pairs: Pairs, alphas: list[float], **options: object) -> torch.Tensor:
    scoring = Scoring(Request(MODEL, pairs, **options))  # type: ignore[arg-type]
    with torch.no_grad():
        for batch in scoring:
            for some in batch.chunks(alphas):
                tape = batch.forward(some)
                batch.add(tape, batch.differences(tape.outputs))
    return scoring.mean()


@pytest.mark.parametrize(("room", "sizes"), [(1, [1, 1, 1]), (2, [2, 1]), (2.9, [2, 1]), (3, [3]), (0.1, [1, 1, 1])])
def test_as_many_variants_run_at_once_as_a_batch_may_take(
    monkeypatch: pytest.MonkeyPatch, room: float, sizes: list[int]
) -> None:
    _, (batch,) = batches(random_pairs(2, 5))
    one = 2 * 5 * (16 * 16 + 3 * 4 * 5) * 8  # pairs, positions, sources of d_model, layers of heads, bytes of a float64
    monkeypatch.setattr(scoring_module, "batch_bytes", lambda device: int(room * one))
    parts = list(batch.chunks([0.0, 0.5, 1.0]))
    assert [len(part) for part in parts] == sizes
    assert torch.cat(parts).tolist() == [0, 0.5, 1]
    assert list(batch.chunks([])) == []


@pytest.mark.parametrize("shared", [0, 200])
def test_long_prompts_keep_their_patterns_within_what_a_batch_may_take(
    monkeypatch: pytest.MonkeyPatch, shared: int
) -> None:
    model, room = long_reader(), 8 << 20
    for module in (frame_module, scoring_module):
        monkeypatch.setattr(module, "batch_bytes", lambda device: room)
    scoring, held = Scoring(Request(model, random_pairs(6, 400, shared))), []
    with torch.no_grad():
        for batch in scoring:
            for some in batch.chunks([0.0, 0.3, 0.6]):
                tape = batch.forward(some)
                n_outputs = len(batch.weights.graph.sources) * batch.frame.clean.numel() * len(some)
                outputs = n_outputs * batch.weights.d_model * 4
                held.append(outputs + sum(each.pattern.nbytes for each in tape.attention))
    assert max(held) <= room
    assert sum(held) > 2 * room


def test_variants_in_one_pass_or_in_several_score_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = random_pairs(3, (5, 6), shared=2)
    together = scored(pairs, [0.0, 0.3, 0.8])
    singly = sum(scored(pairs, [alpha]) for alpha in (0.0, 0.3, 0.8))
    torch.testing.assert_close(together, singly)
    monkeypatch.setattr(scoring_module, "batch_bytes", lambda device: 1)
    torch.testing.assert_close(scored(pairs, [0.0, 0.3, 0.8]), together)


@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_the_mean_is_over_pairs_and_each_pairs_own_scores_stand_in_its_row(batch_size: int | None) -> None:
    pairs = random_pairs(3, (7, 4, 6))
    alone = torch.stack([scored(pairs[i : i + 1], [0.2]) for i in range(3)])
    rows = scored(pairs, [0.2], batch_size=batch_size, per_example=True)
    torch.testing.assert_close(rows, alone)
    torch.testing.assert_close(scored(pairs, [0.2], batch_size=batch_size), alone.mean(0))


def test_kl_compares_with_the_clean_runs_own_logits_and_other_objectives_with_nothing() -> None:
    pairs = random_pairs(2, 5, shared=2)
    _, (batch,) = batches(pairs, objective="kl")
    assert batch.compared is not None
    expected = torch.stack(
        [MODEL.logits(torch.tensor([pairs[i].clean_ids]))[0, -1] for i in batch.frame.index.tolist()]
    )
    torch.testing.assert_close(batch.compared, expected)
    assert batches(pairs)[1][0].compared is None


def test_a_clean_run_of_a_batch_is_the_clean_prompts() -> None:
    pairs = random_pairs(1, 5)
    _, (batch,) = batches(pairs)
    with torch.no_grad():
        outputs = batch.plain_outputs()
        cache = MODEL.hooked.run_with_cache(torch.tensor([pairs[0].clean_ids]), prepend_bos=False)[1]
    torch.testing.assert_close(outputs.mlp[0][0, 0], cache["blocks.0.hook_mlp_out"][0])


def test_only_ablations_that_keep_the_prefix_share_it() -> None:
    pairs = random_pairs(2, 6, shared=4)
    for ablation, start in (("resample", 4), ("zero", 0), ("mean-both", 0)):
        _, (batch,) = batches(pairs, ablation=ablation)
        assert batch.frame.start.tolist() == [start, start]
        assert (batch.batch.prefix is None) == (start == 0)


def test_whole_answers_are_read_by_objectives_of_them() -> None:
    pairs = random_pairs(2, 4, steps=3)
    assert batches(pairs, objective="sequence_logprob")[1][0].frame.read.shape == (2, 3)
    assert batches(pairs)[1][0].frame.read.shape == (2, 1)


@pytest.mark.parametrize("objective", ["correct", "rank", "exact_match"])
def test_an_objective_without_a_gradient_is_refused(objective: str) -> None:
    with pytest.raises(ValueError, match=f"metric '{objective}' is not known; accepted"):
        Scoring(Request(MODEL, random_pairs(1), objective))
