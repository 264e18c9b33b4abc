"""What a program says of its positions, and which programs there are."""

import pytest
import torch

from memcirc.patching.programs import (
    LATENT_IN,
    Generate,
    Latent,
    Program,
    Tokens,
    at_step,
    first_example,
    identity,
    pause,
)
from memcirc.patching.sites import Site
from tests.models import small_model


def ids(n: int) -> torch.Tensor:
    return torch.arange(2 * n).view(2, n)


def program() -> Program:
    """Tokens at 0 to 2, latent steps at 3 and 4, a token at 5, a third latent step at 6; two tokens are generated."""
    return Program((Tokens(ids(3)), Latent(2, identity), Tokens(ids(1)), Latent(1, torch.neg), Generate(2)))


def test_positions_by_hand() -> None:
    given = program()
    assert given.latent_positions == (3, 4, 6)
    assert (given.batch, given.given, given.generated) == (2, 7, 2)
    inputs = list(given.inputs())
    assert [position for position, _ in inputs] == list(range(7))
    assert [callable(what) for _, what in inputs] == [False, False, False, True, True, False, True]
    assert torch.equal(inputs[1][1], torch.tensor([1, 4]))  # type: ignore[arg-type]
    assert inputs[6][1] is torch.neg


def test_a_step_is_its_position() -> None:
    given = program()
    assert at_step(given, "z", [0, 2], 1) == Site("z", 1, (3, 6))
    assert at_step(given, LATENT_IN, 1) == Site("resid_pre", 0, (4,))
    for step in (3, -1):
        with pytest.raises(ValueError, match=rf"step {step} is out of range; the program has latent steps 0 to 2"):
            at_step(given, "z", step, 0)


def test_the_first_example_alone() -> None:
    one = first_example(program())
    assert one.batch == 1
    assert one.latent_positions == (3, 4, 6)
    assert torch.equal(one.segments[0].ids, ids(3)[:1])  # type: ignore[union-attr]


def test_a_pause_is_its_tokens_embedding_whatever_was_thought() -> None:
    weights = small_model("gpt2").weights
    fed = pause(weights, 9)(torch.randn(3, weights.d_model, dtype=torch.float64))
    assert torch.equal(fed, weights.embedding[9].expand(3, -1))


def test_programs_that_are_none_are_refused() -> None:
    weights = small_model("gpt2").weights
    with pytest.raises(ValueError, match="begins with Tokens"):
        Program((Latent(2, identity), Generate(1)))
    with pytest.raises(ValueError, match="ends with Generate"):
        Program((Tokens(torch.zeros(1, 2, dtype=torch.int64)), Latent(2, identity)))
    with pytest.raises(ValueError, match="has one only there"):
        Program((Tokens(ids(2)), Generate(1), Generate(1)))
    with pytest.raises(ValueError, match="a segment of length 0 does nothing"):
        Program((Tokens(ids(2)), Latent(0, identity), Generate(1)))
    with pytest.raises(ValueError, match="token id 99 is outside"):
        pause(weights, 99)
