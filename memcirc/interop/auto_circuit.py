"""AutoCircuit (the peer, package ``auto-circuit``) as an engine: its patchable model and its masks behind the same
functions that the native engine has.

The peer wraps a TransformerLens model with split inputs and per-head results, so that every destination's input becomes
r_d + sum over sources of m_sd (p_s - c_s). What memcirc adds is around it: batches of unequal length (right-padded,
read at each pair's own position), means over whole data sets, and exact sets of edges in place of score thresholds.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memcirc.architectures import hooked_facts
from memcirc.circuit import connected
from memcirc.decoder.workspace import Workspace
from memcirc.engine.ablation import means_of
from memcirc.engine.memory import Memory
from memcirc.engine.request import Request
from memcirc.graph import Graph, graph_of
from memcirc.interop.compatibility import provide_moved_names
from memcirc.interventions import Ablation, RunSettings
from memcirc.lens import check_context
from memcirc.metrics import DIFFERENTIABLE, SEQUENCE, Answers, Labels, Metric
from memcirc.models import Model
from memcirc.pairs.batches import PairBatch, batches
from memcirc.pairs.record import Pairs

DEFAULT_BATCH = 16


def _peer_tools() -> Any:
    """The peer's module of masks and patching, importable only once the moved names are in place."""
    provide_moved_names()
    import auto_circuit.utils.graph_utils

    return auto_circuit.utils.graph_utils


def check(config: Any) -> None:
    """Raises ValueError for a model that has no form in TransformerLens, which the peer wraps."""
    hooked_facts(config)


def patchable(model: Model) -> Any:
    """The peer's patchable form of a copy of the model; the model itself is left alone.

    Raises:
        ValueError: grouped keys and values, which the peer cannot split.
    """
    if graph_of(model).shape.n_kv_heads != model.hooked.cfg.n_heads:
        raise ValueError("engine 'auto-circuit' has no grouped keys and values; load the model with grouped_kv=False")
    twin = copy.deepcopy(model.hooked).requires_grad_(False)
    twin.cfg.use_attn_result = True
    twin.cfg.use_split_qkv_input = True
    twin.cfg.use_hook_mlp_in = True
    return _peer_tools().patchable_model(twin, factorized=True, separate_qkv=True, device=model.device)


def mask_gradients(request: Request, alphas: Sequence[float]) -> Tensor:
    """Sum over ``alphas`` of dL/dm, L = -objective, with all masks at alpha, on the clean prompts.

    Returns:
        float [n_edges] in canonical order, the mean over pairs; or [pairs, n_edges].
    """
    model, pairs, ablation = request.model, request.pairs, request.ablation
    tools, asked = _peer_tools(), Metric.parse(request.objective, DIFFERENTIABLE)
    _check_lengths(model, pairs, asked.reads == SEQUENCE)
    peer, graph = _Peer(model), graph_of(model)
    means = peer.means(ablation, request.reference or pairs, request.batch_size)
    size = 1 if request.per_example else request.batch_size or DEFAULT_BATCH
    answers = Answers.of(pairs, model.d_vocab, model.device)
    rows = []
    for batch in batches(pairs, size, model.device, asked.reads == SEQUENCE):
        with torch.no_grad():
            plain = peer.read(peer.model(batch.clean), batch)
        values = peer.ablation_values(request.settings, batch, means)
        with tools.train_mask_mode(peer.model):
            for alpha in alphas:
                tools.set_all_masks(peer.model, val=alpha)
                with tools.patch_mode(peer.model, values.clone()):
                    logits = peer.read(peer.model(batch.clean), batch)
                _loss(asked, logits, batch, answers, plain).backward()
        rows.append(graph.from_matrix(peer.mask_gradient_matrix(graph)))
    stacked = torch.stack(rows)
    return stacked if request.per_example else stacked.sum(0) / len(pairs)


def _loss(objective: Metric, logits: Tensor, batch: PairBatch, answers: Answers, plain: Tensor) -> Tensor:
    labels = Labels(answers[batch.index], batch.targets, batch.target_mask, plain[:, 0])
    if objective.reads == SEQUENCE:
        return -objective(logits, labels).sum()
    return -objective.of_position(logits[:, 0], labels).sum()


@dataclass(frozen=True)
class Prepared:
    """Pairs made ready for many circuits: the peer's model and each batch's ablation values."""

    peer: "_Peer"
    graph: Graph
    settings: RunSettings
    batches: tuple[tuple[PairBatch, Tensor], ...]
    answers: Answers

    @torch.no_grad()
    def logits(self, kept: Tensor, answers_only: bool = False) -> Tensor:
        """Run circuits, bool [circuits, n_edges].

        Returns:
            float [circuits, pairs, d_vocab] at each pair's answer position (a step axis before the last where whole
            answers are read), or the answers' columns [circuits, pairs, alternative].
        """
        parts = []
        for batch, values in self.batches:
            with self.peer.patching(values):
                parts.append(torch.stack([self._run(batch, circuit, answers_only) for circuit in kept]))
        return torch.cat(parts, dim=1)

    def _run(self, batch: PairBatch, circuit: Tensor, answers_only: bool) -> Tensor:
        if self.settings.dangling == "prune":
            circuit = connected(self.graph, circuit)
        patched = circuit if self.settings.mode == "edge" else ~circuit
        self.peer.set_masks(self.graph.to_matrix(patched.to(self.peer.dtype)))
        logits = self.peer.read(self.peer.model(getattr(batch, self.settings.prompt)), batch)
        logits = logits[:, 0] if batch.targets is None else logits
        return self.answers[batch.index].gather(logits) if answers_only else logits


def prepare(
    model: Model,
    pairs: Pairs,
    settings: RunSettings,
    reference: Pairs | None = None,
    batch_size: int | None = None,
    sequence: bool = False,
    memory: Memory | None = None,
) -> Prepared:
    """Compute once what all circuits share; the peer keeps all of it, whatever the ``memory`` of native runners."""
    _check_lengths(model, pairs, sequence)
    peer = _Peer(model)
    means = peer.means(settings.ablation, reference or pairs, batch_size)
    ready = tuple(
        (batch, peer.ablation_values(settings, batch, means))
        for batch in batches(pairs, batch_size or DEFAULT_BATCH, model.device, sequence)
    )
    answers = Answers.of(pairs, model.d_vocab, model.device)
    return Prepared(peer, graph_of(model), settings, ready, answers)


def _check_lengths(model: Model, pairs: Pairs, sequence: bool) -> None:
    answers = (max(len(pair.answer_sequence_ids), 1) - 1 if sequence else 0 for pair in pairs)
    check_context(model.hooked, max(len(pair) + more for pair, more in zip(pairs, answers, strict=True)))


class _Peer:
    """The patchable model with its masks as one [dst, src] matrix."""

    def __init__(self, model: Model) -> None:
        self.model = patchable(model)
        self.twin = None if model.twin is None else _Peer(model.twin)
        self.dtype, self.device, self._weights = model.dtype, model.device, model.weights
        self._wrappers = self._in_graph_order(model.hooked.cfg)

    def _in_graph_order(self, cfg: Any) -> list[Any]:
        """The wrappers of all inputs: per layer q, k, v and MLP, at the end the last residual."""
        by_name = {wrapper.module_name: wrapper for wrapper in self.model.dest_wrappers}
        kinds = ["hook_q_input", "hook_k_input", "hook_v_input", *(["hook_mlp_in"] * (not cfg.attn_only))]
        names = [f"blocks.{layer}.{kind}" for layer in range(cfg.n_layers) for kind in kinds]
        names.append(f"blocks.{cfg.n_layers - 1}.hook_resid_post")
        return [by_name[name] for name in names]

    def set_masks(self, matrix: Tensor) -> None:
        row = 0
        for wrapper in self._wrappers:
            n_rows, n_sources = wrapper.patch_mask.view(-1, wrapper.patch_mask.shape[-1]).shape
            wrapper.patch_mask.data.copy_(matrix[row : row + n_rows, :n_sources].view_as(wrapper.patch_mask))
            row += n_rows

    def mask_gradient_matrix(self, graph: Graph) -> Tensor:
        """float [dst, src]: the gradients that ``train_mask_mode`` has collected on the masks."""
        n_sources = len(graph.sources)
        rows = [
            torch.nn.functional.pad(grad, (0, n_sources - grad.shape[-1]))
            for wrapper in self._wrappers
            for grad in [wrapper.patch_mask.grad.view(-1, wrapper.patch_mask.shape[-1])]
        ]
        return torch.cat(rows)

    @contextmanager
    def patching(self, values: Tensor) -> Iterator[None]:
        tools = _peer_tools()
        with tools.patch_mode(self.model, values):
            try:
                yield
            finally:
                tools.set_all_masks(self.model, val=0.0)

    def read(self, logits: Tensor, batch: PairBatch) -> Tensor:
        """[batch, pos, d_vocab] -> [batch, step, d_vocab] at the positions that the metric reads."""
        return logits.gather(1, batch.read[..., None].expand(-1, -1, logits.shape[-1]))

    def sources(self, ids: Tensor) -> Tensor:
        """float [src, batch, pos, d_model]: what every source writes in a plain run."""
        from auto_circuit.utils.ablation_activations import src_ablations

        outputs: Tensor = src_ablations(self.model, ids)
        return outputs.clone()

    def ablation_values(self, settings: RunSettings, batch: PairBatch, means: Tensor | None) -> Tensor:
        """float [src, batch, pos, d_model] of a batch."""
        asked, prompt = settings.ablated, getattr(batch, settings.prompt)
        if asked.other_prompt:
            return self.sources(batch.corrupt if settings.prompt == "clean" else batch.clean)
        if self.twin is not None and asked.other_model:
            return self.twin.sources(prompt)
        if means is None:
            return torch.zeros_like(self.sources(prompt))
        n_positions = prompt.shape[1]
        if asked.by_position and means.shape[1] < n_positions:
            raise ValueError(
                f"ablation {asked.name!r}: reference prompts have {means.shape[1]} positions, a pair has {n_positions}"
            )
        means = means[:, :n_positions].expand(-1, n_positions, -1)
        return means[:, None].repeat(1, len(batch), 1, 1)

    def _learned(self, reference: Pairs, ablation: Ablation) -> Tensor:
        """float [src, 1, d_model]: the native engine's constants, as the peer writes them."""
        weights, graph = self._weights, self._weights.graph
        with torch.no_grad():
            outputs = means_of(weights, reference, ablation, False, Workspace(self.device)).outputs(weights)
            written = torch.zeros(len(graph.sources), 1, 1, 1, weights.d_model, dtype=self.dtype, device=self.device)
            written[0] = outputs.embed
            for layer in range(graph.shape.n_layers):
                heads = graph.heads(layer)
                outputs.heads(layer).each_into(written[heads])
                if graph.shape.has_mlp:
                    written[heads.stop] = outputs.mlp[layer]
        return written[:, 0, 0]

    def means(self, ablation: str, reference: Pairs, batch_size: int | None) -> Tensor | None:
        """float [src, pos, d_model] means over the reference prompts at each position ([src, 1, d_model] over all
        positions for ``mean-all``); None where the ablation has none."""
        asked = Ablation.parse(ablation)
        if not asked.means_of:
            return None
        if asked.learned:
            return self._learned(reference, asked)
        width = max(len(pair) for pair in reference)
        total, count = torch.zeros(()), torch.zeros(width, device=self.device, dtype=self.dtype)
        for batch in batches(reference, batch_size or DEFAULT_BATCH, self.device):
            attended = batch.attended.to(self.dtype)
            for side in asked.means_of:
                summed = torch.einsum("sbpd,bp->spd", self.sources(getattr(batch, side)), attended)
                total = total + torch.nn.functional.pad(summed, (0, 0, 0, width - summed.shape[1]))
                count[: attended.shape[1]] += attended.sum(0)
        if not asked.by_position:
            return total.sum(1, keepdim=True) / count.sum()
        return total / count[:, None]
