"""Places in words, and what has no words under its own label."""

from dataclasses import replace

import pytest

from memcirc.patching.patches import Patch
from memcirc.patching.sites import Site
from memcirc.studies.words import layers, place, tokens
from tests.models import llama_style_tokenizer, small_model


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (Site("z", 3, None, (1,)), "output of head 1 of layer 3"),
        (Site("z", 3), "output of all heads of layer 3"),
        (Site("resid_pre", 2, (4,)), "residual stream before layer 2 at position 4 (“x”)"),
        (Site("mlp_out", 0, (0, 9)), "MLP output of layer 0 at positions 0 (“a”), 9"),
        (
            Site("pattern", 1, (2,), (0,), (1,)),
            "attention pattern of head 0 of layer 1 at position 2 (“c”), reading position 1 (“b”)",
        ),
        (Site("embed"), "token embedding"),
        (Site("ln_final_scale"), "ln_final.hook_scale"),
    ],
)  # fmt: skip
def test_a_place_in_words(where: Site, said: str) -> None:
    assert place(Patch((where,)), ["0 a", "1 b", "2 c", "3 d", "4 x"]) == said


def test_several_sites_keep_their_label() -> None:
    assert place(Patch((Site("z", 0), Site("z", 1)), "both")) == "both"


def test_neighbouring_layers() -> None:
    assert (layers(2, 2), layers(0, 3)) == ("layer 2", "layers 0 to 3")


def test_tokens_are_labels_that_can_be_seen() -> None:
    model = replace(small_model("gpt2"), tokenizer=llama_style_tokenizer(["wa", "wb"]))
    ids = model.tokenizer.encode("wa wb")
    labels = tokens(model, ids)
    assert labels[-2:] == ["wa", "wb"]
    assert all(labels)
