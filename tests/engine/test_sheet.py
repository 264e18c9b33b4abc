"""Score products: from one buffer of all sources, or from a stream of layers."""

import pytest
import torch

from memcirc.attribution.attribute import attribute
from memcirc.engine import frame, sheet
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
