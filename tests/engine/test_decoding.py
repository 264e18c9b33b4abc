"""Generation with a cache equals generation without: every token from a fresh circuit run over the whole prompt."""

import pytest
import torch
from torch import Tensor

from memcirc.circuits.runner import circuit_runner
from memcirc.engine.decoding import decode
from memcirc.graph import graph_of
from memcirc.memorization.generation import greedy
from memcirc.models import Model
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.drawing import connected_circuits, uniform_circuits
from tests.models import CONTEXT, D_VOCAB, HF_MODELS, small_model

PROMPT, TOKENS, ROWS = 5, 6, 3


def prompts(seed: int) -> tuple[Tensor, Tensor]:
    both = torch.randint(0, D_VOCAB, (2, ROWS, PROMPT), generator=torch.Generator().manual_seed(seed))
    return both[0], both[1]


def literal(
    model: Model, clean: Tensor, corrupt: Tensor, kept: Tensor, ablation: str, reference: Pairs | None
) -> Tensor:
    """One token at a time, each from a circuit run over clean and corrupt prompt with the same tokens behind them."""
    said = clean[:, :0]
    for _ in range(TOKENS):
        rows = zip(torch.cat([clean, said], 1).tolist(), torch.cat([corrupt, said], 1).tolist(), strict=True)
        pairs = Pairs(tuple(Pair(tuple(a), tuple(b), (0,), (1,)) for a, b in rows))
        runner = circuit_runner(model, pairs, mode="tree", ablation=ablation, reference=reference)
        said = torch.cat([said, runner.logits(kept[None])[0].argmax(-1, keepdim=True)], dim=1)
    return said


def circuits(model: Model) -> Tensor:
    graph, seeded = graph_of(model), torch.Generator().manual_seed(3)
    return torch.cat([connected_circuits(graph, 40, 2, seeded), ~uniform_circuits(graph, 15, 2, seeded)])


@pytest.mark.parametrize("name", HF_MODELS)
@pytest.mark.parametrize("ablation", ["resample", "zero", "mean-clean"])
def test_the_cache_changes_nothing(name: str, ablation: str) -> None:
    model = small_model(name)
    clean, corrupt = prompts(0)
    reference = None
    if ablation == "mean-clean":
        ids = torch.randint(0, D_VOCAB, (4, PROMPT + TOKENS), generator=torch.Generator().manual_seed(9)).tolist()
        reference = Pairs(tuple(Pair(tuple(row), tuple(row[::-1]), (0,), (1,)) for row in ids))
    for kept in circuits(model):
        fast = decode(model, clean, corrupt, kept, TOKENS, ablation, reference)
        assert torch.equal(fast, literal(model, clean, corrupt, kept, ablation, reference))


def test_all_edges_say_what_the_model_says() -> None:
    model = small_model("gpt_neo", dtype="float32")
    clean, corrupt = prompts(1)
    every = torch.ones(graph_of(model).n_edges, dtype=torch.bool)
    assert torch.equal(decode(model, clean, corrupt, every, TOKENS), greedy(model, clean, TOKENS))


def test_no_edge_says_what_the_corrupt_prompt_leads_to() -> None:
    model = small_model("llama")
    clean, corrupt = prompts(2)
    none = torch.zeros(graph_of(model).n_edges, dtype=torch.bool)
    assert torch.equal(decode(model, clean, corrupt, none, TOKENS), greedy(model, corrupt, TOKENS))


def test_no_tokens_asked_for_are_none() -> None:
    model = small_model("gpt2")
    clean, corrupt = prompts(0)
    every = torch.ones(graph_of(model).n_edges, dtype=torch.bool)
    assert decode(model, clean, corrupt, every, 0).shape == (ROWS, 0)


def test_mistakes_are_named() -> None:
    model = small_model("gpt2")
    clean, corrupt = prompts(0)
    every = torch.ones(graph_of(model).n_edges, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"\[3, 5\] and corrupt ones of \[3, 4\] differ"):
        decode(model, clean, corrupt[:, :4], every, TOKENS)
    with pytest.raises(ValueError, match=f"the model reads at most {CONTEXT}"):
        decode(model, clean, corrupt, every, CONTEXT)
    with pytest.raises(ValueError, match="'mean-clean' averages over reference pairs; none were given"):
        decode(model, clean, corrupt, every, TOKENS, "mean-clean")
    short = Pairs((Pair((1, 2), (3, 4), (0,), (1,)),))
    with pytest.raises(ValueError, match="the reference reaches 2 positions, generation 10"):
        decode(model, clean, corrupt, every, TOKENS, "mean-clean", short)
