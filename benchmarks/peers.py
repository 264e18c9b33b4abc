"""The peers, doing the same work: AutoCircuit as its users call it, and plain passes of the transformers model."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from memcirc.graph import Graph, graph_of
from memcirc.interop.compatibility import provide_moved_names
from memcirc.models import Model
from memcirc.pairs.record import Pairs


class AutoCircuit:
    """AutoCircuit on a copy of a model, with pairs in batches of four as its own loader makes them."""

    def __init__(self, model: Model, pairs: Pairs, batch_size: int = 4) -> None:
        provide_moved_names()
        from auto_circuit.data import PromptDataLoader, PromptDataset
        from auto_circuit.utils.graph_utils import patchable_model

        twin = copy.deepcopy(model.hooked).requires_grad_(False)
        twin.cfg.use_attn_result = twin.cfg.use_split_qkv_input = twin.cfg.use_hook_mlp_in = True
        self.n_layers = twin.cfg.n_layers
        self.model: Any = patchable_model(twin, factorized=True, slice_output="last_seq", separate_qkv=True)
        data = PromptDataset(
            [torch.tensor(pair.clean_ids, device=model.device) for pair in pairs],
            [torch.tensor(pair.corrupt_ids, device=model.device) for pair in pairs],
            [torch.tensor(pair.answer_ids, device=model.device) for pair in pairs],
            [torch.tensor(pair.wrong_answer_ids, device=model.device) for pair in pairs],
        )
        size = min(batch_size, len(pairs))
        self.loader: Any = PromptDataLoader(data, seq_len=len(pairs[0]), diverge_idx=0, batch_size=size, shuffle=False)

    def mask_ig(self, steps: int) -> dict[str, Tensor]:
        from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores

        self.model.zero_grad(set_to_none=True)
        scores: dict[str, Tensor] = mask_gradient_prune_scores(
            self.model, self.loader, None, "logit", "avg_diff", integrated_grad_samples=steps
        )
        return scores

    def run(self, scores: dict[str, Tensor], n_edges: int, mode: str) -> Any:
        """``run_circuits`` for one size."""
        from auto_circuit.prune import run_circuits
        from auto_circuit.types import PatchType

        kind = PatchType.TREE_PATCH if mode == "tree" else PatchType.EDGE_PATCH
        return run_circuits(self.model, self.loader, [n_edges], scores, kind)

    def as_scores(self, graph: Graph, values: Tensor) -> dict[str, Tensor]:
        """[n_edges] in the graph's order as AutoCircuit keeps scores."""
        matrix = graph.to_matrix(values)
        names = [f"blocks.{layer}.{kind}" for layer in range(self.n_layers) for kind in ("q", "k", "v", "m")]
        rows = {"q": graph.shape.n_heads, "k": graph.shape.n_heads, "v": graph.shape.n_heads, "m": 1}
        found, first = {}, 0
        for name in names:
            kind = name[-1]
            hook = f"{name[:-1]}hook_{'mlp_in' if kind == 'm' else kind + '_input'}"
            part = matrix[first : first + rows[kind], : graph.n_visible[first]]
            found[hook] = part[0].clone() if kind == "m" else part.clone()
            first += rows[kind]
        found[f"blocks.{self.n_layers - 1}.hook_resid_post"] = matrix[-1].clone()
        return found


def peers_circuit(model: Model, pairs: Pairs, scores: Tensor, n_edges: int, mode: str) -> Callable[[], Any]:
    """AutoCircuit's run of the circuit of so many highest scores, made ready."""
    peer = AutoCircuit(model, pairs)
    peer_scores = peer.as_scores(graph_of(model), scores)
    return lambda: peer.run(peer_scores, n_edges, mode)


def plain_forward(model: Model, pairs: Pairs) -> Tensor:
    """transformers' own forward pass over the clean prompts, all logits."""
    return model.logits(torch.tensor([pair.clean_ids for pair in pairs]))


def forward_backward(model: Model, pairs: Pairs) -> Tensor:
    """transformers' forward pass and backward to activations: the gradient of a logit difference at the embeddings."""
    assert model.hf is not None
    model.hf.requires_grad_(False)
    ids = torch.tensor([pair.clean_ids for pair in pairs], device=model.device)
    embedded = model.hf.get_input_embeddings()(ids).detach().requires_grad_(True)
    hidden = model.hf.base_model(inputs_embeds=embedded, use_cache=False).last_hidden_state[:, -1]
    head = model.hf.get_output_embeddings().weight
    (hidden @ (head[pairs[0].answer_ids[0]] - head[pairs[0].wrong_answer_ids[0]])).sum().backward()
    assert embedded.grad is not None
    return embedded.grad
