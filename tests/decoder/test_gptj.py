"""GPT-J's table of angles, as transformers lays it out: sines of all pairs, then cosines."""

import torch

from memcirc.decoder.readers.gptj import _table


def test_each_pair_of_a_table_has_its_sine_and_cosine_twice() -> None:
    """Four pairs, as many columns as a chunk too many would split: sines 0..3, cosines 10..13 at position 0."""
    sincos = torch.tensor([[0.0, 1, 2, 3, 10, 11, 12, 13]]) + 100 * torch.arange(3.0)[:, None]
    cos, sin = _table(sincos, 2)
    assert sin.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3], [100, 100, 101, 101, 102, 102, 103, 103]]
    assert cos.tolist() == [[10, 10, 11, 11, 12, 12, 13, 13], [110, 110, 111, 111, 112, 112, 113, 113]]
