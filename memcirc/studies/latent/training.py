"""The small model with latent thoughts, trained on the spot.

1. Explicit chain: the results stand as tokens where the latent steps will be. Each hidden state learns to say the next
   result, and the projection to turn it into that result's embedding.
2. Latent unroll: the projection's outputs are fed in place of the tokens; the answer, and every result read off the
   hidden state, are learned on. A low rate: a higher one destroys what 1 has made.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel

from memcirc.small_models import Recipe, fit, reproducible, save
from memcirc.studies.latent.task import EOT, OPERATIONS, VOCABULARY, DigitQuestion, drawn

LAYERS, WIDTH, HEADS, POSITIONS, THREADS = 3, 64, 4, 24, 2
CHAIN, CHAIN_BATCH = Recipe(420, 3e-3, clip=1.0), 128
UNROLL, UNROLL_BATCH = Recipe(30, 1e-4, clip=1.0), 64
INITIAL_SPREAD = 0.1  # of weights; 0.02, usual for wide models, learns too slowly at this width
PROJECTION = "projection.safetensors"


class Projection(nn.Module):
    """CODI's projection from a hidden state to the next latent input: Linear, GELU, Linear, LayerNorm."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm = nn.LayerNorm(width)
        nn.init.constant_(self.norm.weight, INITIAL_SPREAD)  # as large as the embeddings it shall hit

    def forward(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.norm(self.layers(hidden))
        return projected


def train(seed: int, folder: Path, progress: bool) -> None:
    """Train model and projection and write them to a folder."""
    with reproducible(seed, THREADS):
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=POSITIONS,
                bos_token_id=None, eos_token_id=None, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
                initializer_range=INITIAL_SPREAD,
            )
        )  # fmt: skip
        projection = Projection()
        parameters = [*model.parameters(), *projection.parameters()]
        rng = random.Random(seed)
        fit(
            parameters, _batches(rng, CHAIN.steps, CHAIN_BATCH), lambda b: _chain_loss(model, projection, b), CHAIN,
            "training the explicit chain", progress,
        )  # fmt: skip
        fit(
            parameters, _batches(rng, UNROLL.steps, UNROLL_BATCH), lambda b: _unroll_loss(model, projection, b), UNROLL,
            "training the latent thoughts", progress,
        )  # fmt: skip
    save(model.eval(), None, folder)
    save_file(projection.state_dict(), folder / PROJECTION)


def load_projection(folder: Path) -> Projection:
    """The projection beside a model that :func:`train` has written."""
    projection = Projection()
    projection.load_state_dict(load_file(folder / PROJECTION))
    return projection.eval().requires_grad_(False)


def _batches(rng: random.Random, steps: int, size: int) -> Iterator[list[DigitQuestion]]:
    for _ in range(steps):
        yield [drawn(rng) for _ in range(size)]


def _chain_loss(model: GPT2LMHeadModel, projection: Projection, questions: list[DigitQuestion]) -> Tensor:
    results = torch.tensor([q.results for q in questions])
    ids = torch.tensor([[*q.ids, *q.results, EOT] for q in questions])
    hidden = model.transformer(input_ids=ids).last_hidden_state
    logits = model.lm_head(hidden)
    first = len(questions[0].ids) - 1  # the token before the first latent step says the first result
    thoughts = hidden[:, first : first + OPERATIONS]
    embedding = model.transformer.wte.weight
    wanted = embedding[results].detach()
    distance = (projection(thoughts) - wanted).square().mean() / embedding.detach().var()
    return (
        cross_entropy(logits[:, first : first + OPERATIONS].flatten(0, 1), results.flatten())
        + cross_entropy(logits[:, -1], results[:, -1])
        + distance
    )


def _unroll_loss(model: GPT2LMHeadModel, projection: Projection, questions: list[DigitQuestion]) -> Tensor:
    results = torch.tensor([q.results for q in questions])
    embedding = model.transformer.wte
    x = embedding(torch.tensor([q.ids for q in questions]))
    thoughts = []
    for _ in range(OPERATIONS):
        thoughts.append(model.transformer(inputs_embeds=x).last_hidden_state[:, -1])
        x = torch.cat([x, projection(thoughts[-1])[:, None]], dim=1)
    end = embedding(torch.full((len(questions), 1), EOT))
    answer = model.lm_head(model.transformer(inputs_embeds=torch.cat([x, end], dim=1)).last_hidden_state[:, -1])
    said = model.lm_head(torch.stack(thoughts, dim=1))
    return cross_entropy(answer, results[:, -1]) + cross_entropy(said.flatten(0, 1), results.flatten())
