"""The slow, literal forms that the engine is checked against: TransformerLens with split inputs and per-head results,
autograd, one edge after another."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.pairs.record import Pair

Hooks = list[tuple[str, Callable[..., Any]]]


class Literal:
    """A hooked model whose sources and destinations can be read and replaced one by one."""

    def __init__(self, model: Model) -> None:
        self.hooked = copy.deepcopy(model.hooked).requires_grad_(False)
        cfg = self.hooked.cfg
        cfg.use_attn_result = cfg.use_split_qkv_input = True
        cfg.use_hook_mlp_in = not cfg.attn_only
        self.graph = graph_of(model)
        self.n_layers, self.has_mlp = cfg.n_layers, not cfg.attn_only

    def sources(self, ids: Tensor, hooks: Hooks | None = None) -> Tensor:
        """[src, pos, d_model]: what every source writes in a run."""
        names = self.source_hooks()
        found: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: Any) -> None:
            found[hook.name] = value.detach()[0]

        self.hooked.run_with_hooks(
            ids, prepend_bos=False, fwd_hooks=[*(hooks or []), *((name, keep) for name in names)]
        )
        parts = [found[name].unbind(1) if name.endswith("result") else [found[name]] for name in names]
        return torch.stack([part for group in parts for part in group])

    def source_hooks(self) -> list[str]:
        """Hook points of the sources' groups: the embedding, and each layer's heads and MLP."""
        names = ["blocks.0.hook_resid_pre"]
        for layer in range(self.n_layers):
            names += [f"blocks.{layer}.attn.hook_result"] + [f"blocks.{layer}.hook_mlp_out"] * self.has_mlp
        return names

    def destination_gradients(self, ids: Tensor, hooks: Hooks, pair: Pair) -> Tensor:
        """[dst, pos, d_model]: gradients of -(logit of the answer - logit of the wrong answer) at every input."""
        reads = [("hook_q_input", True), ("hook_k_input", True), ("hook_v_input", True), ("hook_mlp_in", False)]
        names = [
            (f"blocks.{layer}.{kind}", split)
            for layer in range(self.n_layers)
            for kind, split in reads[: 3 + self.has_mlp]
        ]
        names.append((f"blocks.{self.n_layers - 1}.hook_resid_post", False))
        found: dict[str, Tensor] = {}

        def keep(value: Tensor, hook: Any) -> Tensor:
            found[hook.name] = value if value.requires_grad else value.clone().requires_grad_(True)
            return found[hook.name]

        def start(value: Tensor, hook: Any) -> Tensor:
            return value.clone().requires_grad_(True)

        with torch.enable_grad():
            logits = self.hooked.run_with_hooks(
                ids,
                prepend_bos=False,
                fwd_hooks=[*hooks, ("blocks.0.hook_resid_pre", start), *((name, keep) for name, _ in names)],
            )[0, -1]
            loss = -(logits[pair.answer_ids[0]] - logits[pair.wrong_answer_ids[0]])
            gradients = torch.autograd.grad(loss, [found[name] for name, _ in names], allow_unused=True)
        rows = []
        for (name, split), gradient in zip(names, gradients, strict=True):
            gradient = torch.zeros_like(found[name]) if gradient is None else gradient
            rows += list(gradient[0].unbind(1)) if split else [gradient[0]]
        return torch.stack(rows)

    def scores(self, gradients: Tensor, differences: Tensor) -> Tensor:
        return self.graph.from_matrix(torch.einsum("tpd,spd->ts", gradients, differences))


def replace_with(name: str, value: Tensor) -> Hooks:
    def put(_: Tensor, hook: Any, value: Tensor) -> Tensor:
        return value[None]

    return [(name, partial(put, value=value))]


def eap_ig_inputs(model: Model, pairs: Sequence[Pair], steps: int, first: int) -> Tensor:
    literal, rows = Literal(model), []
    for pair in pairs:
        clean, corrupt = torch.tensor([pair.clean_ids]), torch.tensor([pair.corrupt_ids])
        p, c = literal.sources(corrupt), literal.sources(clean)
        for i in range(first, first + steps):
            embed = replace_with("blocks.0.hook_resid_pre", p[0] + i / steps * (c[0] - p[0]))
            rows.append(literal.scores(literal.destination_gradients(clean, embed, pair), p - c))
    return torch.stack(rows).mean(0)


def eap_ig_activations(model: Model, pairs: Sequence[Pair], steps: int) -> Tensor:
    literal, rows = Literal(model), []
    n_heads = literal.graph.shape.n_heads
    for pair in pairs:
        clean, corrupt = torch.tensor([pair.clean_ids]), torch.tensor([pair.corrupt_ids])
        p, c = literal.sources(corrupt), literal.sources(clean)
        total, source = torch.zeros(literal.graph.n_edges, dtype=c.dtype), 0
        for name in literal.source_hooks():
            heads = n_heads if name.endswith("result") else 1
            group = slice(source, source + heads)
            for i in range(1, steps + 1):
                between = p[group] + i / steps * (c[group] - p[group])
                value = between.transpose(0, 1) if name.endswith("result") else between[0]
                gradients = literal.destination_gradients(clean, replace_with(name, value), pair)
                total += literal.scores(gradients, p - c)
            source += heads
        rows.append(total / steps / len(literal.source_hooks()))
    return torch.stack(rows).mean(0)
