"""What is to be expected of a model before it is loaded: whether it is computed, how many edges it has, what it takes.

Estimates count operations and bytes. A forward and a backward pass take six operations a parameter and token (two and
four); the score products two a pair of source and destination, number of d_model and token; the speed is that of one
matrix product here and now.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from memcirc.checkpoints import ADAPTER_CONFIG, gguf_of, weight_files
from memcirc.decoder.families import context_of, family_of
from memcirc.graph import Graph, graph_of
from memcirc.mapped import can_stay_on_disk, in_bytes, larger_than_memory
from memcirc.pretrained import base_of, load_config
from memcirc.tokenizers import load_tokenizer

LONGEST, STEPS = 50, 5
STREAM_BYTES = 4
PRODUCT = 1024


@dataclass(frozen=True)
class Examined:
    """A model by its configuration.

    Attributes:
        grouped: the graph with one key and value input for each group, where the model has groups.
        stored: bytes of its weights' files; None where they are not at hand.
        mapped: its weights can stay in their files.
        parameters: of its blocks and its unembedding: what a token is multiplied with.
        context: the positions that it reads; None where it sets no end.
        spare: so many tokens of its tokenizer have no row of its embedding.
    """

    name: str
    kind: str
    graph: Graph
    grouped: Graph
    stored: int | None
    mapped: bool
    parameters: int
    d_model: int
    context: int | None
    spare: int

    @property
    def tokens(self) -> int:
        """The length of the pair that is estimated."""
        return LONGEST if self.context is None else min(LONGEST, self.context)

    def difference_bytes(self, tokens: int) -> int:
        """Memory of the source differences of one pair."""
        return len(self.graph.sources) * tokens * self.d_model * STREAM_BYTES

    def operations(self, tokens: int) -> int:
        """Of mask-ig with ``STEPS`` steps on one pair whose prompts differ everywhere."""
        products = 2 * len(self.graph.sources) * len(self.graph.destinations) * self.d_model
        return STEPS * tokens * (6 * self.parameters + products)

    def lines(self, speed: float, free: int) -> list[str]:
        """What a person wants to know, given operations a second and bytes of free memory."""
        edges = f"{self.graph.n_edges:,} edges"
        if self.grouped != self.graph:
            edges += f" ({self.grouped.n_edges:,} with grouped_kv=True)"
        n = self.tokens
        pair, seconds = in_bytes(self.difference_bytes(n)), self.operations(n) / speed
        told = [
            f"{self.name}: {self.kind} can be run",
            f"{self.graph.shape.n_layers} layers of {self.graph.shape.n_heads} heads, {edges}",
            f"memory: {self._held(free)}; {pair} a pair of {n} tokens for attribution",
            f"time: about {seconds:.2g} s a pair of {n} tokens (mask-ig, {STEPS} steps) on this processor, less "
            "where prompts share a prefix",
        ]
        if self.spare:
            told.append(f"its tokenizer has {self.spare:,} tokens more than its embedding: text with one is refused")
        return told

    def _held(self, free: int) -> str:
        if self.stored is None:
            return "weights not at hand"
        if self.stored <= free:
            return f"{in_bytes(self.stored)} of weights, held once"
        if self.mapped:
            return larger_than_memory(self.stored, free)
        size = f"{in_bytes(self.stored)} of weights are larger than memory ({in_bytes(free)} free)"
        return f"{size}; only safetensors can stay on disk"


def examine(name: str) -> Examined:
    """A model by its name, folder or file, without loading its weights.

    Raises:
        FileNotFoundError: there is no such model at hand.
        ValueError: it cannot be run; the message says which part is missing.
    """
    path = Path(name)
    if (path / ADAPTER_CONFIG).is_file():
        return examine(base_of(path))
    gguf, config = gguf_of(path), load_config(name)
    family_of(config)
    files = [gguf] if gguf is not None else weight_files(path) if path.is_dir() else []
    graph = graph_of(config)
    return Examined(
        name=name,
        kind=config.model_type,
        graph=graph,
        grouped=graph_of(config, grouped_kv=True),
        stored=sum(file.stat().st_size for file in files) or None,
        mapped=can_stay_on_disk(files),
        parameters=_parameters(config, graph),
        d_model=config.hidden_size,
        context=context_of(config),
        spare=max(0, len(load_tokenizer(name, optional=True) or ()) - config.vocab_size),
    )


def _parameters(config: Any, graph: Graph) -> int:
    """Numbers of the matrices that every token meets: of each block 4 d^2 and those of its MLP, and the unembedding."""
    width = config.hidden_size
    names = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
    inner = next((getattr(config, name) for name in names if getattr(config, name, None)), 4 * width)
    gated = 3 if hasattr(config, "rms_norm_eps") else 2
    return int(graph.shape.n_layers * (4 * width**2 + gated * width * inner) + width * config.vocab_size)


def operations_a_second() -> float:
    """Of one float32 matrix product here."""
    x = torch.rand(PRODUCT, PRODUCT)
    x @ x
    start = time.perf_counter()
    x @ x
    return 2 * PRODUCT**3 / (time.perf_counter() - start)
