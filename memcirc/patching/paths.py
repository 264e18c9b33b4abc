"""Path patching: the effect of one node along one path, every other road held as it was (Wang et al. 2022).

A path is a chain of nodes, ``input``, ``a3`` (attention of layer 3), ``m3`` (its MLP), ``logits``:

1. d = what the first node writes in the source run - what it writes in the base run.
2. Each next node reads its base input + d and nothing else changed; d becomes the change of its output.
3. ``logits`` reads the last residual + d.

Every node after the first is computed with the base model's weights. The effect of a path is exact; effects of several
paths do not add up unless the model is linear.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from memcirc.patching.forward import Segment, Taps, run_block
from memcirc.patching.measures import Question
from memcirc.patching.runs import RecordedRun, run
from memcirc.patching.sides import Comparison

INPUT, LOGITS = "input", "logits"


class PathPatching:
    """What all paths between two runs share; make it once.

    Args:
        question: the metrics, of the base side's prompts.
    """

    def __init__(self, comparison: Comparison, question: Question) -> None:
        self.comparison, self.weights = comparison, comparison.base.weights
        self.shape = self.weights.graph.shape
        kinds = ["resid_pre", "attn_out"] + (["mlp_out"] if self.shape.has_mlp else [])
        kinds += ["resid_mid"] if self.shape.has_mlp and not self.shape.parallel else []
        self.base: RecordedRun = run(self.weights, comparison.base.prompts, kinds)
        self.source: RecordedRun = run(comparison.source.weights, comparison.source.prompts, kinds)
        self.examples = torch.arange(len(comparison.base.prompts), device=self.base.final.device)
        self.question = question.against(comparison.source.weights, self.source.final)

    @property
    def nodes(self) -> list[str]:
        """All nodes that write, in order."""
        names = [INPUT]
        for layer in range(self.shape.n_layers):
            names += [f"a{layer}"] + [f"m{layer}"] * self.shape.has_mlp
        return names

    def base_values(self) -> Float[Tensor, "metric batch"]:
        """The metrics of the base run."""
        return self.question.of_final(self.weights, self.base.final, self.examples)

    def source_values(self) -> Float[Tensor, "metric batch"]:
        """The metrics of the source run."""
        return self.question.of_final(self.comparison.source.weights, self.source.final, self.examples)

    def effect(self, path: Sequence[str]) -> Float[Tensor, "metric batch"]:
        """The metrics with one path patched.

        Raises:
            ValueError: the path does not run forward from a node that writes to ``logits``.
        """
        self.check(path)
        change = self.change_of(path[0])
        for node in path[1:-1]:
            change = self.response(node, change)
        return self.of_change(change)

    def check(self, path: Sequence[str]) -> None:
        """Raises ValueError for an unknown node or an edge that does not exist."""
        for node in path[:-1]:
            if node not in self.nodes:
                raise ValueError(f"node {node!r} does not exist; nodes: {', '.join([*self.nodes, LOGITS])}")
        ranks = [self._rank(node) for node in path]
        if len(path) < 2 or path[-1] != LOGITS or any(a >= b for a, b in pairwise(ranks)):
            raise ValueError(f"path {'->'.join(path)!r} must run forward along existing edges and end in {LOGITS!r}")

    def has_edge(self, sender: str, receiver: str) -> bool:
        """Whether the receiver reads what the sender writes."""
        return self._rank(sender) < self._rank(receiver)

    def _rank(self, node: str) -> int:
        """Nodes that read the same residual have the same rank."""
        if node == INPUT:
            return -1
        if node == LOGITS:
            return 2 * self.shape.n_layers
        kind, layer = _parsed(node)
        return 2 * layer + (kind == "m" and not self.shape.parallel)

    def change_of(self, node: str) -> Float[Tensor, "batch pos d_model"]:
        """What a node writes in the source run minus what it writes in the base run."""
        if node == INPUT:
            return self.source.found["resid_pre", 0] - self.base.found["resid_pre", 0]
        kind, layer = _parsed(node)
        name = "attn_out" if kind == "a" else "mlp_out"
        return self.source.found[name, layer] - self.base.found[name, layer]

    def response(self, node: str, change: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """How a node's output changes when its input does."""
        kind, layer = _parsed(node)
        batch, length = change.shape[:2]
        prompts = self.comparison.base.prompts
        segment = Segment(batch, 0, length, self.examples, prompts.read)
        middle = kind == "m" and not self.shape.parallel
        taps = _Node("attn_out" if kind == "a" else "mlp_out", change.flatten(0, 1) if middle else None)
        x = self.base.found["resid_pre", layer]
        run_block(self.weights, layer, (x if middle else x + change).flatten(0, 1), [segment], None, taps)
        assert taps.output is not None
        return taps.output.view(change.shape) - self.base.found[taps.kind, layer]

    def of_change(self, change: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "metric batch"]:
        """The metrics when the last residual changes."""
        read = self.comparison.base.prompts.read
        at_read = change.gather(1, read[..., None].expand(-1, -1, change.shape[-1]))
        return self.question.of_final(self.weights, self.base.final + at_read, self.examples)


class _Node(Taps):
    """Keeps one output; a change may be added to what the MLP of a sequential block reads."""

    def __init__(self, kind: str, change: Tensor | None) -> None:
        self.kind, self.change = kind, change
        self.output: Tensor | None = None

    def at(self, kind: str, layer: int, value: Tensor) -> Tensor:
        if kind == self.kind:
            self.output = value
        return value + self.change if kind == "resid_mid" and self.change is not None else value


def _parsed(node: str) -> tuple[str, int]:
    found = re.fullmatch(r"([am])(\d+)", node)
    assert found is not None, node
    return found[1], int(found[2])
