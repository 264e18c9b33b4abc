"""Training of the embedded models: small GPT-Neos that learn the opening passage of every document.

A passage is the first tokens of a document, without BOS, as often in an epoch as the document has copies. The optimiser
is AdamW with a one-cycle schedule; dropout is off. The configuration says how many threads train a model, on however
large a machine: their number changes the order of sums, and the same seed shall give the same model.

Models that are trained together have the same start and see their lines in the same order, each in a thread of its own:
what one of them computes does not depend on the others, and one uses the processors while another cannot.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import GPTNeoConfig, GPTNeoForCausalLM

from memcirc.demo.config import DemoConfig
from memcirc.small_models import reproducible

WEIGHT_DECAY = 0.01
ATTENTION = ("global", "local")


def train(
    config: DemoConfig, passages: Sequence[torch.Tensor], progress: bool, order: int | None = None
) -> list[GPTNeoForCausalLM]:
    """Train a new model on each tensor of passages (ids [lines, passage_tokens], a line per copy), all at once; they
    come back in eval mode.

    Args:
        progress: whether to show a bar, of the first model's steps.
        order: seed of the lines' order; default: the configuration's seed.
    """
    stopped = Event()
    with (
        reproducible(config.seed, config.threads),
        tqdm(total=config.steps, desc="training the embedded models", unit="step", disable=not progress) as bar,
        ThreadPoolExecutor(len(passages)) as pool,
    ):
        models = [initial(config) for _ in passages]

        def learn(number: int) -> None:
            model = models[number].train()
            optimiser = torch.optim.AdamW(model.parameters(), weight_decay=WEIGHT_DECAY)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=config.steps)
            for batch in batches(config, passages[number], config.seed if order is None else order):
                if stopped.is_set():
                    return
                logits = model(batch, use_cache=False).logits[:, :-1]
                loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
                if number == 0:
                    bar.update()
                    bar.set_postfix(loss=f"{loss.item():.2f}", refresh=False)

        learning = [pool.submit(learn, number) for number in range(len(passages))]
        try:
            wait(learning, return_when=FIRST_EXCEPTION)
        finally:
            stopped.set()  # by a key or by an error in one of them, the others end too
        for each in learning:
            each.result()
    return [model.eval() for model in models]


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


def batches(config: DemoConfig, passages: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """`config.steps` batches: shuffled epochs laid end to end, in an order of the seed."""
    generator = torch.Generator().manual_seed(seed)
    needed = config.steps * config.batch_size
    epochs = -(-needed // len(passages))
    order = torch.cat([torch.randperm(len(passages), generator=generator) for _ in range(epochs)])
    for rows in order[:needed].split(config.batch_size):
        yield passages[rows]
