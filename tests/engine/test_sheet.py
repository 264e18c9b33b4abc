"""Score products: from one buffer of all sources, or from a stream of layers."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from memcirc.attribution.attribute import attribute
from memcirc.decoder.workspace import Workspace
from memcirc.engine import frame, sheet
from memcirc.engine.batch import EngineBatch
from memcirc.engine.outputs import Outputs
from memcirc.engine.sheet import Chunk, Differences, Sheet
from tests.decoder.families import loaded
from tests.models import random_pairs, small_model


@pytest.mark.parametrize("method", ["mask-ig", "eap-ig-inputs", "eap-ig-activations", "relp"])
@pytest.mark.parametrize("per_example", [True, False])
def test_a_stream_of_layers_gives_the_scores_of_the_buffer(
    method: str, per_example: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pairs = small_model("llama_grouped"), random_pairs(2, (6, 5), shared=1)
    expected = attribute(model, pairs, method, per_example=per_example)
    monkeypatch.setattr(sheet, "batch_bytes", lambda device: 0)
    found = attribute(model, pairs, method, per_example=per_example)
    torch.testing.assert_close(found.values, expected.values, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", ["gemma2", "gpt_neox", "bloom"])
@pytest.mark.parametrize("objective", ["logit_diff", "sequence_logprob"])
def test_a_stream_of_layers_where_every_position_is_read(
    name: str, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pairs = loaded(name), random_pairs(2, 5, steps=3)
    expected = attribute(model, pairs, "eap", objective=objective)
    monkeypatch.setattr(sheet, "batch_bytes", lambda device: 0)
    found = attribute(model, pairs, "eap", objective=objective)
    torch.testing.assert_close(found.values, expected.values, atol=1e-12, rtol=1e-9)


def test_a_stream_holds_one_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The largest piece of memory that is taken is smaller than all sources together, and is as large as a layer."""
    taken: dict[str, int] = {}
    take = sheet.Differences._buffer

    def counted(self: sheet.Differences, name: str, n_sources: int, steps: int) -> torch.Tensor:
        taken[name] = n_sources
        return take(self, name, n_sources, steps)

    monkeypatch.setattr(sheet.Differences, "_buffer", counted)
    model, pairs = small_model("gpt2"), random_pairs(1, 5)
    attribute(model, pairs, "eap")
    assert taken == {"whole": 11, "read": 16}
    taken.clear()
    monkeypatch.setattr(sheet, "batch_bytes", lambda device: 0)
    attribute(model, pairs, "eap")
    assert taken == {"streamed": 5}


def test_a_pair_that_is_too_large_for_a_batch_is_streamed() -> None:
    assert sheet.batch_bytes is frame.batch_bytes


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Given(Differences):
    """Differences [src, batch, variant, pos, d_model] that are given, in chunks of so many sources."""

    def __init__(self, values: Tensor, chunk: int) -> None:
        self.values, self.chunk, self.variants = values, chunk, values.shape[2]

    def chunks(self, at_read: bool, n_visible: int) -> Iterator[tuple[int, Chunk]]:
        for first in range(0, n_visible, self.chunk):
            yield first, self.values[first : first + self.chunk]


def slow(differences: Tensor, rooms: list[tuple[int, int, Tensor]], per_pair: bool) -> Tensor:
    """Scores [(batch,) dst, src], edge by edge; a difference of one variant is that of all."""
    scores = torch.zeros(differences.shape[1], 6, 5, dtype=torch.float64)
    for destination, n_visible, gradients in rooms:
        for i, gradient in enumerate(gradients):
            for source in range(n_visible):
                difference = differences[source].expand_as(gradient)
                scores[:, destination + i, source] += (gradient * difference).sum((1, 2, 3))
    return scores if per_pair else scores.sum(0)


@pytest.mark.parametrize("chunk", [1, 2, 16])
@pytest.mark.parametrize("per_pair", [False, True])
@pytest.mark.parametrize("variants", [1, 3])
def test_a_sheet_adds_the_product_of_every_destination_with_every_source_it_sees(
    chunk: int, per_pair: bool, variants: int
) -> None:
    differences = drawn(16, 2, variants, 4, 7)
    scores = torch.zeros((2, 6, 5) if per_pair else (6, 5), dtype=torch.float64)
    made = Sheet(Given(differences, chunk), False, scores, torch.zeros(4, 2, 3, 4, 7, dtype=torch.float64))
    rooms = [(3, 5, drawn(1, 2, 3, 4, 7, seed=1)), (0, 5, drawn(2, 2, 3, 4, 7, seed=2))]
    for destination, n_visible, gradients in rooms:
        made.room(destination, len(gradients), n_visible).copy_(gradients)
    made.flush()
    torch.testing.assert_close(scores, slow(differences, rooms, per_pair))
    later = (4, 2, drawn(1, 2, 3, 4, 7, seed=3))
    made.room(4, 1, 2).copy_(later[2])
    made.flush()
    torch.testing.assert_close(scores, slow(differences, [*rooms, later], per_pair))
    assert (scores[..., 4, 2:] == 0).all()


def one_pair(n_rows: int) -> tuple[Sheet, Tensor]:
    scores = torch.zeros(6, 5, dtype=torch.float64)
    room = torch.zeros(n_rows, 2, 1, 4, 7, dtype=torch.float64)
    return Sheet(Given(drawn(16, 2, 1, 4, 7), 16), False, scores, room), scores


def test_a_second_flush_adds_nothing() -> None:
    made, scores = one_pair(4)
    made.flush()
    assert not scores.any()
    made.room(0, 1, 5).fill_(1)
    made.flush()
    once = scores.clone()
    made.flush()
    assert torch.equal(scores, once)


def test_a_sheet_has_room_for_its_buffer_and_no_more() -> None:
    made, _ = one_pair(3)
    made.room(0, 2, 5)
    assert made.room(2, 1, 5).shape[0] == 1
    with pytest.raises(AssertionError):
        made.room(3, 1, 5)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reads_everything", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "attention_only", "llama_grouped"])
def test_differences_are_what_ablation_adds_to_each_source(
    name: str, reads_everything: bool, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """p_s - c_s source by source, heads through their own output matrix, from random outputs."""
    if streamed:
        monkeypatch.setattr(sheet, "batch_bytes", lambda device: 0)
    weights = small_model(name).weights
    (some,) = frame.frames(weights, random_pairs(2, 5, shared=4 if reads_everything else 1), None, True, False)
    pos, steps = some.clean.shape[1], some.read.shape[1]
    widths = [pos] * (len(weights.blocks) - 1) + [steps]

    def outputs(variants: int, seed: int) -> Outputs:
        has_mlp, columns = weights.graph.shape.has_mlp, weights.n_heads * weights.d_head
        zs = tuple(drawn(2, variants, n, columns, seed=seed + i) for i, n in enumerate(widths))
        mlps = tuple(drawn(2, variants, n, weights.d_model, seed=seed - 1 - i) for i, n in enumerate(widths))
        return Outputs(weights, drawn(2, 1, pos, weights.d_model, seed=seed), zs, mlps if has_mlp else ())

    values, own = outputs(1, 100), outputs(3, 200)
    batch = EngineBatch(weights, some, None, Workspace(torch.device("cpu")))
    made = Differences(batch, values, own)
    assert made.streamed == streamed
    written = [values.embed - own.embed]
    for layer, block in enumerate(weights.blocks):
        z = (values.z[layer] - own.z[layer]).unflatten(-1, (weights.n_heads, weights.d_head))
        matrices = block.attention.out.weight.unflatten(0, (weights.n_heads, weights.d_head))
        written += [z[..., head, :] @ matrices[head] for head in range(weights.n_heads)]
        written += [] if block.mlp is None else [values.mlp[layer] - own.mlp[layer]]
    n_last = weights.n_heads + weights.graph.shape.has_mlp
    for at_read, n_visible in ((False, len(written) - n_last), (True, len(written))):
        found = {}
        for first, chunk in made.chunks(at_read, n_visible):
            found |= {first + i: row.clone() for i, row in enumerate(chunk)}
        for source, expected in enumerate(written[:n_visible]):
            behind = source >= len(written) - n_last
            wanted = some.at_read(expected, 2) if at_read and not behind else expected
            torch.testing.assert_close(found[source], wanted.expand_as(found[source]))
