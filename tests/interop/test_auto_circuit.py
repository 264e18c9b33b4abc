"""Our use of the peer against the peer's own functions, on pairs that it can load: equal lengths, one batch."""

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.circuits.runner import circuit_runner
from memcirc.interop.auto_circuit import _peer_tools, patchable
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from tests.models import random_pairs, small_model

_peer_tools()

from auto_circuit.data import PromptPairBatch  # noqa: E402
from auto_circuit.prune import run_circuits  # noqa: E402
from auto_circuit.prune_algos.mask_gradient import mask_gradient_prune_scores  # noqa: E402
from auto_circuit.types import AblationType, PatchType  # noqa: E402


def peer_batch(pairs: Pairs) -> list[PromptPairBatch]:
    rows = [(p.clean_ids, p.corrupt_ids, p.answer_ids, p.wrong_answer_ids) for p in pairs]
    clean, corrupt, answers, wrong = (torch.tensor(column) for column in zip(*rows, strict=True))
    return [
        PromptPairBatch(key=1, batch_diverge_idx=0, clean=clean, corrupt=corrupt, answers=answers, wrong_answers=wrong)
    ]


def peer_model(model: Model) -> object:
    peer = patchable(model)
    peer.out_slice = (slice(None), -1)
    return peer


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama_ungrouped"])
@pytest.mark.parametrize(("method", "k"), [("eap", None), ("mask-ig", 3)])
def test_attribution_equals_the_peers_mask_gradients(name: str, method: str, k: int | None) -> None:
    model, pairs = small_model(name), random_pairs(3)
    expected = mask_gradient_prune_scores(
        peer_model(model), peer_batch(pairs), None, "logit", "avg_diff",
        mask_val=0.0 if k is None else None, integrated_grad_samples=k,
    )  # fmt: skip
    for engine in ("auto-circuit", "native"):
        scores = attribute(model, pairs, method, steps=k or 1, engine=engine)
        matrix = scores.graph.to_matrix(scores.values)
        largest, row = scores.values.abs().max(), 0
        for layer in range(model.hooked.cfg.n_layers):
            for kind in ("q_input", "k_input", "v_input", "mlp_in"):
                theirs = expected[f"blocks.{layer}.hook_{kind}"].view(
                    -1, expected[f"blocks.{layer}.hook_{kind}"].shape[-1]
                )
                ours = matrix[row : row + len(theirs), : theirs.shape[1]]
                torch.testing.assert_close(ours, theirs, atol=float(largest) * 1e-9, rtol=0)
                row += len(theirs)


@pytest.mark.parametrize("mode", ["tree", "edge"])
@pytest.mark.parametrize("reverse", [False, True])
def test_circuit_runs_equal_the_peers(mode: str, reverse: bool) -> None:
    """In float32: the peer's ``run_circuits`` has no other; ``test_runner`` compares the engines in float64."""
    model, pairs = small_model("gpt_neo", dtype="float32"), random_pairs(3)
    peer = peer_model(model)
    scores = attribute(model, pairs, "eap", engine="auto-circuit")
    prune_scores = mask_gradient_prune_scores(peer, peer_batch(pairs), None, "logit", "avg_diff", mask_val=0.0)
    patch_type = PatchType.TREE_PATCH if mode == "tree" else PatchType.EDGE_PATCH
    outputs = run_circuits(
        peer, peer_batch(pairs), [25], prune_scores, patch_type, AblationType.RESAMPLE, reverse_clean_corrupt=reverse
    )
    (expected,) = outputs[25].values()
    for engine in ("auto-circuit", "native"):
        logits = circuit_runner(model, pairs, mode=mode, reverse=reverse, engine=engine).logits([scores.top(25)])[0]
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_grouped_keys_and_values_are_refused() -> None:
    with pytest.raises(ValueError, match="load the model with grouped_kv=False"):
        attribute(small_model("llama_grouped"), random_pairs(1), "eap", engine="auto-circuit")


def test_the_model_is_left_as_it_was() -> None:
    model, pairs = small_model("gpt2"), random_pairs(2)
    before = model.fingerprint
    names = [name for name, _ in model.hooked.named_modules()]
    attribute(model, pairs, "eap", engine="auto-circuit")
    circuit_runner(model, pairs, mode="tree", engine="auto-circuit").logits([set()])
    assert Model(model.name, model.source, None).fingerprint == before
    assert [name for name, _ in model.hooked.named_modules()] == names
