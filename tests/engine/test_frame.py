"""Frames: which tokens stand where, what each query sees, and how pairs are divided into batches."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memcirc.engine import frame as frame_module
from memcirc.engine.frame import Frame, Slots, batch_bytes, batch_slots, frames, slots_bytes
from memcirc.pairs.record import Pair, Pairs
from tests.models import CONTEXT, D_VOCAB, random_pairs, small_model

GPT2 = small_model("gpt2").weights
NEO = small_model("gpt_neo").weights  # global and local attention of 3 tokens in turn
BOTH_WAYS = small_model("bidirectional").weights


def pair(clean: str, corrupt: str, answer: str = "9", position: int | None = None) -> Pair:
    """A pair of prompts whose tokens are digits, and a whole answer."""
    ids = [tuple(int(digit) for digit in text) for text in (clean, corrupt, answer)]
    return Pair(ids[0], ids[1], (1,), (2,), answer_sequence_ids=ids[2], position=position)


PAIRS = Pairs((pair("123456", "123457", "89"), pair("2345", "2395", "567"), pair("1111", "1112")))


def only(pairs: Pairs, share_prefix: bool = True, sequence: bool = False, weights=GPT2) -> Frame:  # type: ignore[no-untyped-def]
    (found,) = frames(weights, pairs, None, share_prefix, sequence)
    return found


def test_a_frame_holds_the_suffixes_behind_what_clean_and_corrupt_share() -> None:
    """Suffixes of 1, 2 and 1 tokens behind 5, 2 and 3 shared ones: the shortest first, of those the least shared."""
    found = only(PAIRS)
    assert found.index.tolist() == [2, 0, 1]
    assert found.start.tolist() == [3, 5, 2]
    assert found.attended.tolist() == [[True, False], [True, False], [True, True]]
    assert found.position.tolist() == [[3, 3], [5, 5], [2, 3]]
    assert [row[keep].tolist() for row, keep in zip(found.clean, found.attended, strict=True)] == [[1], [6], [4, 5]]
    assert [row[keep].tolist() for row, keep in zip(found.corrupt, found.attended, strict=True)] == [[2], [7], [9, 5]]
    assert [row[:n].tolist() for row, n in zip(found.prefix, (3, 5, 2), strict=True)] == [
        [1, 1, 1], [1, 2, 3, 4, 5], [2, 3],
    ]  # fmt: skip
    assert found.read.tolist() == [[0], [0], [1]]


def test_without_a_shared_prefix_whole_prompts_are_run() -> None:
    found = only(PAIRS, share_prefix=False)
    assert found.start.tolist() == [0, 0, 0]
    assert found.prefix.shape == (3, 0)
    assert found.index.tolist() == [1, 2, 0]
    assert found.read.tolist() == [[3], [3], [5]]


def test_a_whole_answer_stands_behind_its_prompt_but_for_its_last_token() -> None:
    found = only(PAIRS[:2], sequence=True)
    assert found.index.tolist() == [0, 1]
    assert found.clean.tolist() == [[6, 8, 8, 8], [4, 5, 5, 6]]
    assert found.read.tolist() == [[0, 1, 1], [1, 2, 3]]
    assert found.targets is not None
    assert found.target_mask is not None
    assert [row[keep].tolist() for row, keep in zip(found.targets, found.target_mask, strict=True)] == [
        [8, 9], [5, 6, 7],
    ]  # fmt: skip


def test_a_suffix_begins_no_later_than_where_the_answer_is_read() -> None:
    found = only(Pairs((pair("123456", "123457", position=3),)))
    assert found.start.tolist() == [3]
    assert found.clean.tolist() == [[4, 5, 6]]
    assert found.read.tolist() == [[0]]


@pytest.mark.parametrize(("length", "shared", "start"), [(10, 2, 2), (10, 1, 0), (5, 1, 1), (6, 1, 0)])
def test_a_prefix_is_shared_from_a_fifth_of_all_tokens_on(length: int, shared: int, start: int) -> None:
    assert only(random_pairs(1, length, shared)).start.tolist() == [start]


def sees(weights, found: Frame, window: int | None) -> list[list[list[int]]]:  # type: ignore[no-untyped-def]
    """For each pair and query, the positions in the prompt that it sees."""
    n_prefix = found.prefix.shape[1]
    out = []
    for row, start in enumerate(found.start.tolist()):
        place = [*range(n_prefix), *(start + i for i in range(found.clean.shape[1]))]
        seen = found.sight(window).visible[row]
        out.append([sorted(place[k] for k in query.nonzero()[:, 0].tolist()) for query in seen])
    return out


@given(lengths=st.lists(st.integers(3, 8), min_size=1, max_size=3), shared=st.integers(0, 7), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_query_sees_every_token_up_to_its_own_within_its_window(lengths: list[int], shared: int, seed: int) -> None:
    found = only(random_pairs(len(lengths), tuple(lengths), shared, seed), weights=NEO)
    for window in (None, 3):
        for queries, start, attended in zip(sees(NEO, found, window), found.start, found.attended, strict=True):
            for i in range(int(attended.sum())):
                own = int(start) + i
                assert queries[i] == list(range(0 if window is None else max(0, own - window + 1), own + 1))


def test_where_attention_goes_both_ways_a_query_sees_every_token_and_no_padding() -> None:
    found = only(PAIRS, weights=BOTH_WAYS)
    assert found.start.tolist() == [0, 0, 0]
    assert [queries[0] for queries in sees(BOTH_WAYS, found, None)] == [
        list(range(4)), list(range(4)), list(range(6)),
    ]  # fmt: skip


def test_what_is_seen_at_the_read_positions_is_what_their_queries_see() -> None:
    found = only(PAIRS, weights=NEO)
    for window in (None, 3):
        whole, read = found.sight(window).visible, found.sight(window, reading=True).visible
        expected = torch.stack([row[at] for row, at in zip(whole, found.read, strict=True)])
        assert torch.equal(read, expected)


def test_tokens_are_turned_by_their_places_in_the_prompt() -> None:
    weights = small_model("llama").weights
    (name,) = weights.rotaries
    found = only(PAIRS, weights=weights)
    cos, sin = weights.rotaries[name].table(6)
    rotation, read = found.rotation(name), found.rotation(name, reading=True)
    assert rotation is not None
    assert read is not None
    torch.testing.assert_close(rotation.cos, cos[found.position])
    torch.testing.assert_close(rotation.sin, sin[found.position])
    torch.testing.assert_close(read.cos, cos[torch.tensor([[3], [5], [3]])])
    torch.testing.assert_close(read.sin, sin[torch.tensor([[3], [5], [3]])])
    assert read.adjacent == rotation.adjacent
    assert found.rotation(None) is None


@pytest.mark.parametrize("dim", [1, 2])
def test_rows_read_and_rows_put_back_are_transposes(dim: int) -> None:
    found = only(PAIRS[:2], sequence=True)
    shape = (2, 4, 5) if dim == 1 else (2, 3, 4, 5)
    read_shape = tuple(3 if i == dim else n for i, n in enumerate(shape))
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(shape, generator=generator), torch.randn(read_shape, generator=generator)
    read = found.at_read(x, dim)
    expected = torch.stack([row.index_select(dim - 1, at) for row, at in zip(x, found.read, strict=True)])
    torch.testing.assert_close(read, expected)
    torch.testing.assert_close((read * y).sum(), (x * found.from_read(y, dim)).sum())


def test_what_is_the_same_for_all_pairs_is_read_for_each_and_for_all_positions_as_it_is() -> None:
    found = only(PAIRS[:2], sequence=True)
    x = torch.arange(4.0).view(1, 4, 1)
    assert found.at_read(x, 1)[..., 0].tolist() == [[0, 1, 1], [1, 2, 3]]
    constant = torch.ones(1, 1, 3)
    assert found.at_read(constant, 1) is constant


def test_where_every_position_is_read_nothing_is_selected() -> None:
    found = only(Pairs((pair("123456", "123457"),)))
    x = torch.ones(1, 1, 3)
    assert found.reads_everything
    assert found.at_read(x, 1) is x
    assert found.from_read(x, 1) is x
    assert not only(PAIRS).reads_everything


def test_batches_hold_pairs_of_like_suffix_length_and_lose_none() -> None:
    pairs = random_pairs(7, (9, 3, 7, 5), shared=0)
    slots = batch_slots(GPT2, pairs, 3, share_prefix=False, sequence=False)
    assert [len(each.members) for each in slots] == [3, 3, 1]
    lengths = [len(pairs[i]) for each in slots for i in each.members]
    assert lengths == sorted(lengths)
    assert sorted(i for each in slots for i in each.members) == list(range(7))


def pair_bytes(width: int, length: int) -> int:
    """Source outputs of a suffix, and keys and values of a whole prompt, in float64."""
    return 8 * (width * (1 + 3 * 5) * 16 + 2 * length * 3 * 4 * 4)


def patterns(width: int, length: int) -> int:
    """Of three layers of four heads, in float64."""
    return 8 * 3 * 4 * width * length


def test_a_batch_takes_as_many_pairs_as_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, one = random_pairs(5, 6), pair_bytes(6, 6) + patterns(6, 6)
    for room, sizes in ((2, [2, 2, 1]), (5, [5]), (0.5, [1] * 5)):
        monkeypatch.setattr(frame_module, "batch_bytes", lambda device, room=room: int(room * one))
        slots = batch_slots(GPT2, pairs, None, share_prefix=False, sequence=False)
        assert [len(each.members) for each in slots] == sizes


def test_the_memory_of_a_batch_is_counted_at_its_widest_suffix_and_longest_prompt() -> None:
    slots = Slots((0, 1), (5, 2))
    assert slots_bytes(GPT2, PAIRS, slots, sequence=False) == 2 * pair_bytes(2, 6)
    assert slots_bytes(GPT2, PAIRS, slots, sequence=True) == 2 * pair_bytes(4, 7)


def test_a_batch_may_take_256_mib_and_4_gib_on_a_gpu() -> None:
    assert batch_bytes(torch.device("cpu")) == 2**28
    assert batch_bytes(torch.device("cuda")) == 2**32


@pytest.mark.parametrize(
    ("pairs", "sequence", "message"),
    [
        (Pairs(()), False, "the pair set is empty"),
        (
            random_pairs(1, CONTEXT + 1),
            False,
            rf"^pair '{CONTEXT + 1} tokens' has {CONTEXT + 1} positions; the model reads at most {CONTEXT}",
        ),
        (random_pairs(1, CONTEXT, steps=2), True, rf"has {CONTEXT + 1} positions"),
        (Pairs((Pair((D_VOCAB,), (0,), (0,), (1,)),)), False, rf"token id {D_VOCAB} is outside the vocabulary 0..30"),
        (Pairs((Pair((0,), (40,), (0,), (1,)),)), False, "token id 40 is outside the vocabulary"),
        (Pairs((Pair((0,), (1,), (0,), (1,), (5, 77)),)), True, "token id 77 is outside the vocabulary"),
    ],
)
def test_unusable_pairs_are_refused_by_name(pairs: Pairs, sequence: bool, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batch_slots(GPT2, pairs, None, share_prefix=True, sequence=sequence)


@pytest.mark.parametrize(
    ("pairs", "sequence"),
    [
        (random_pairs(1, CONTEXT), False), (random_pairs(1, CONTEXT, steps=1), True),
        (random_pairs(1, CONTEXT, steps=5), False), (Pairs((Pair((0,), (D_VOCAB - 1,), (0,), (1,)),)), False),
        (Pairs((Pair((0,), (1,), (0,), (1,), (77,)),)), False),
    ],
)  # fmt: skip
def test_pairs_at_the_edge_of_what_a_model_takes_are_taken(pairs: Pairs, sequence: bool) -> None:
    assert batch_slots(GPT2, pairs, None, share_prefix=True, sequence=sequence)


@pytest.mark.parametrize("size", [0, -2])
def test_a_batch_of_less_than_a_pair_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"batch_size {size} is out of range; accepted: 1 and above"):
        batch_slots(GPT2, PAIRS, size, share_prefix=True, sequence=False)
    assert len(batch_slots(GPT2, PAIRS, 1, share_prefix=True, sequence=False)) == 3


def test_answers_follow_their_pairs_into_a_batch() -> None:
    pairs = random_pairs(4, (8, 3, 6, 5))
    found = only(pairs)
    expected: list[Tensor] = [torch.tensor([*p.answer_ids, *p.wrong_answer_ids]) for p in pairs]
    assert torch.equal(found.answers.columns, torch.stack([expected[i] for i in found.index.tolist()]))
