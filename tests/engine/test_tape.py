"""The forward pass at uniform masks, against the decoder that masks every edge by itself."""

import pytest
import torch

from memcirc.decoder.workspace import Workspace
from memcirc.engine.ablation import ablation_values
from memcirc.engine.batch import EngineBatch
from memcirc.engine.frame import frames
from memcirc.engine.plain import plain_run, prefix_pass
from memcirc.engine.tape import Tape, forward
from memcirc.engine.values import Values, embedding
from memcirc.interventions import RunSettings
from memcirc.models import Model
from tests.decoder.families import loaded
from tests.decoder.naive import Naive, plain
from tests.models import random_pairs

PAIRS = random_pairs(1, 6, shared=2)


def run_at(model: Model, alphas: list[float], ablation: str, replaced=None) -> tuple[EngineBatch, Values, Tape]:  # type: ignore[no-untyped-def]
    weights, work = model.weights, Workspace(torch.device("cpu"))
    with torch.no_grad():
        (frame,) = frames(weights, PAIRS, None, ablation == "resample", False)
        batch = EngineBatch(weights, frame, prefix_pass(weights, frame, work, work), work)
        values, _ = ablation_values(model, PAIRS, RunSettings("tree", ablation), None, False, work)(batch)
        embed = embedding(weights, frame, "clean")
        tape = forward(batch, embed, torch.tensor(alphas, dtype=torch.float64), values.totals, replaced)
    return batch, values, tape


@pytest.mark.parametrize("ablation", ["resample", "zero"])
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "gemma2", "llama"])
def test_every_mask_at_alpha_is_every_branch_input_mixed(name: str, ablation: str) -> None:
    model, alphas = loaded(name), [0.0, 0.3, 1.0]
    weights, graph = model.weights, model.weights.graph
    batch, _, tape = run_at(model, alphas, ablation)
    corrupt = plain(weights, torch.tensor(PAIRS[0].corrupt_ids))
    corrupt.run()
    outputs = torch.stack(corrupt.outputs)
    carried = outputs if ablation == "resample" else torch.zeros_like(outputs)
    start = int(batch.frame.start[0])
    for variant, alpha in enumerate(alphas):
        masks = torch.full((len(graph.destinations), len(graph.sources)), alpha, dtype=torch.float64)
        slow = Naive(weights, torch.tensor(PAIRS[0].clean_ids), masks, carried)
        slow.run()
        for layer, out in enumerate(tape.outputs.mlp):
            found = out.expand(1, len(alphas), -1, -1)[0, variant]
            expected = slow.outputs[graph.heads(layer).stop][start:]
            torch.testing.assert_close(found, expected[-len(found) :])
        final = slow._input(len(graph.destinations) - 1, len(graph.sources))[-1]
        torch.testing.assert_close(tape.final[0, variant, 0], final)
    assert tape.own.flatten().tolist() == pytest.approx([1, 0.7, 0])
    assert tape.own.shape == (1, 3, 1, 1)


def test_without_masks_the_tape_is_the_plain_run() -> None:
    model = loaded("gpt2")
    batch, _, tape = run_at(model, [0.0], "resample")
    with torch.no_grad():
        run = plain_run(batch, embedding(model.weights, batch.frame, "clean"))
    torch.testing.assert_close(tape.outputs.z, run.outputs.z)
    torch.testing.assert_close(tape.outputs.mlp, run.outputs.mlp)
    torch.testing.assert_close(tape.final, run.residuals.final)
    for kept, query, value in zip(tape.attention, run.heads.query, run.heads.value, strict=True):
        torch.testing.assert_close(kept.raw[0], query)
        torch.testing.assert_close(kept.value, value)
        torch.testing.assert_close(kept.pattern.sum(-1), torch.ones_like(kept.pattern[..., 0]))


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "gemma2"])
def test_outputs_put_in_place_are_what_later_branches_read(name: str) -> None:
    """The corrupt run's outputs of layer 1 in the clean run: what follows is the clean residual before the layer with
    those outputs added."""
    model = loaded(name)
    weights = model.weights
    _, values, _ = run_at(model, [0.0], "resample")
    replaced = {"a1": values.outputs.attention_write(1, weights), "m1": values.outputs.mlp[1]}
    _, _, tape = run_at(model, [0.0], "resample", replaced)
    _, _, clean = run_at(model, [0.0], "resample")
    torch.testing.assert_close(tape.outputs.z[0], clean.outputs.z[0])
    kept = torch.zeros(len(weights.graph.destinations), len(weights.graph.sources), dtype=torch.float64)
    kept[:, weights.graph.heads(1)] = 1
    kept[:, weights.graph.heads(1).stop] = 1
    corrupt = plain(weights, torch.tensor(PAIRS[0].corrupt_ids))
    corrupt.run()
    slow = Naive(weights, torch.tensor(PAIRS[0].clean_ids), kept, torch.stack(corrupt.outputs))
    slow.run()
    final = slow._input(len(weights.graph.destinations) - 1, len(weights.graph.sources))[-1]
    torch.testing.assert_close(tape.final[0, 0, 0], final)
