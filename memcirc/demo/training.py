"""Training of the embedded models: small GPT-Neos that learn the opening passage of every document.

A passage is the first tokens of a document, without BOS, as often in an epoch as the document has copies. The optimiser
is AdamW with a one-cycle schedule; dropout is off. The configuration says how many threads train a model, on however
large a machine: their number changes the order of sums, and the same seed shall give the same model.

1. All models have their first steps in common, on lines in which nothing is planted, so that they speak the same
   language inside.
2. From there each goes on with its own lines, in the same order, in a thread of its own: what one of them computes does
   not depend on the others, and one uses the processors while another cannot.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from memcirc.demo.config import DemoConfig
from memcirc.small_models import reproducible

WEIGHT_DECAY = 0.01
ATTENTION = ("global", "local")


def train(
    config: DemoConfig,
    common: torch.Tensor,
    passages: Sequence[torch.Tensor],
    progress: bool,
    order: int | None = None,
) -> list[GPTNeoForCausalLM]:
    """Train a model on each tensor of passages (ids [lines, passage_tokens], a line per copy) behind the steps on
    ``common`` that all share; they come back in eval mode.

    Args:
        progress: whether to show a bar, of the first model's steps.
        order: seed of the lines' order behind the common steps; default: the configuration's seed.
    """
    order, stopped = config.seed if order is None else order, Event()
    with (
        reproducible(config.seed, config.threads),
        tqdm(total=config.steps, desc="training the embedded models", unit="step", disable=not progress) as bar,
        ThreadPoolExecutor(len(passages)) as pool,
    ):
        start = Learner(config)
        start.learn(batches(config, common, config.seed, config.shared_steps), bar)
        learners = [Learner(config, start) for _ in passages]

        def learn(number: int) -> None:
            own = batches(config, passages[number], order, config.steps - config.shared_steps)
            learners[number].learn(_until(stopped, own), bar if number == 0 else None)

        learning = [pool.submit(learn, number) for number in range(len(passages))]
        try:
            wait(learning, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()  # by a key or by an error in one of them, the others end too
        for each in learning:
            each.result()
    return [learner.model.eval() for learner in learners]


class Learner:
    """A model with its optimiser and schedule: new, or where another stands."""

    def __init__(self, config: DemoConfig, other: "Learner | None" = None) -> None:
        self.model = initial(config).train()
        self.optimiser = torch.optim.AdamW(self.model.parameters(), weight_decay=WEIGHT_DECAY)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, config.learning_rate, total_steps=config.steps
        )
        if other is not None:
            self.model.load_state_dict(other.model.state_dict())
            self.optimiser.load_state_dict(copy.deepcopy(other.optimiser.state_dict()))
            self.schedule.load_state_dict(other.schedule.state_dict())

    def learn(self, batches: Iterable[torch.Tensor], bar: Any) -> None:
        """A step for each batch, shown on a bar where there is one."""
        for batch in batches:
            logits = self.model(batch, use_cache=False).logits[:, :-1]
            loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.schedule.step()
            if bar is not None:
                bar.update()
                bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)


def _until(stopped: Event, batches: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
    for batch in batches:
        if stopped.is_set():
            return
        yield batch


def initial(config: DemoConfig) -> GPTNeoForCausalLM:
    """The model before its first step, which the configuration's seed alone decides."""
    torch.manual_seed(config.seed)
    return untrained(config)


def untrained(config: DemoConfig) -> GPTNeoForCausalLM:
    """A GPT-Neo with global and local attention in turn, initialised from torch's global generator."""
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            vocab_size=config.vocabulary,
            max_position_embeddings=2 * config.passage_tokens,
            hidden_size=config.width,
            num_layers=config.layers,
            num_heads=config.heads,
            attention_types=[[[ATTENTION[layer % 2]], 1] for layer in range(config.layers)],
            window_size=config.window,
            bos_token_id=0,
            eos_token_id=0,
            embed_dropout=0.0,
            attention_dropout=0.0,
            resid_dropout=0.0,
        )
    )


def batches(config: DemoConfig, passages: torch.Tensor, seed: int, steps: int) -> Iterator[torch.Tensor]:
    """So many batches: shuffled epochs laid end to end, in an order of the seed."""
    generator = torch.Generator().manual_seed(seed)
    needed = steps * config.batch_size
    epochs = -(-needed // len(passages))
    order = torch.cat([torch.randperm(len(passages), generator=generator) for _ in range(max(1, epochs))])
    for rows in order[:needed].split(config.batch_size) if needed else ():
        yield passages[rows]
