"""Which rows there are, and what each writes, worked out by hand."""

import pytest
import torch

from memcirc.patching.patches import Patch
from memcirc.patching.prompts import Prompts
from memcirc.patching.runs import Activations, RecordedRun, RunPair
from memcirc.patching.sites import Site
from memcirc.patching.writes import Place, canonical, combined, has_places, mean_over_examples, rows_of
from tests.models import small_model

LENGTHS = torch.tensor([3, 2])


def runs(source: Activations, shared: tuple[int, int] = (0, 0)) -> RunPair:
    """Two examples of 3 and 2 tokens; the base run holds zeros wherever the source run holds something."""
    prompts = Prompts(torch.zeros(2, 3, dtype=torch.int64), LENGTHS, LENGTHS[:, None] - 1)
    final = torch.zeros(2, 1, 16, dtype=torch.float64)
    base = {key: torch.zeros_like(value) for key, value in source.items()}
    return RunPair(
        small_model("gpt2").weights,
        prompts,
        RecordedRun(base, final),
        RecordedRun(source, final),
        torch.tensor(shared),
    )


def at(shape: tuple[int, ...], *places: tuple[int, ...]) -> torch.Tensor:
    """Zeros but for ones at some places."""
    value = torch.zeros(shape, dtype=torch.float64)
    for place in places:
        value[place] = 1.0
    return value


def test_only_rows_that_differ_are_run_from_their_first_difference_on() -> None:
    """attn_out of layer 1 differs in example 0 at position 1, mlp_out of layer 0 in example 1 at position 0."""
    source = {("attn_out", 1): at((2, 3, 4), (0, 1, 2)), ("mlp_out", 0): at((2, 3, 4), (1, 0, 0))}
    patches = [Patch((Site("attn_out", 1),)), Patch((Site("mlp_out", 0), Site("attn_out", 1)))]
    rows = rows_of(runs(source), patches)
    assert list(zip(rows.patch.tolist(), rows.example.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1)]
    assert rows.start.tolist() == [1, 1, 0]
    assert rows.layer.tolist() == [1, 1, 0]
    written = {
        place.kind: sorted(zip(e.row.tolist(), e.pos.tolist(), strict=True)) for place, e in rows.entries.items()
    }
    assert written == {
        "attn_out": [(0, 1), (0, 2), (1, 1), (1, 2), (2, 0), (2, 1)],
        "mlp_out": [(2, 0), (2, 1)],  # of row 1 it lies below the first difference
    }
    assert len(rows_of(runs(source), patches, skip=False)) == 4


def test_what_both_runs_share_and_a_first_query_do_not_count_as_differences() -> None:
    source = {("q", 0): at((2, 3, 4, 4), (0, 0, 1, 0), (1, 1, 1, 0)), ("z", 0): at((2, 3, 4, 4), (0, 1, 2, 0))}
    rows = rows_of(runs(source), [Patch((Site("q", 0),)), Patch((Site("z", 0),))])
    assert list(zip(rows.patch.tolist(), rows.example.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert len(rows_of(runs(source, shared=(2, 2)), [Patch((Site("q", 0),)), Patch((Site("z", 0),))])) == 0


def test_heads_and_entries_differ_by_themselves() -> None:
    """Of head 1 the pattern differs where position 2 reads position 0."""
    source = {("pattern", 0): at((2, 4, 3, 3), (0, 1, 2, 0))}
    sites = [
        Site("pattern", 0), Site("pattern", 0, (1,)), Site("pattern", 0, None, (1,)), Site("pattern", 0, None, (0,)),
        Site("pattern", 0, (2,), (1,), (0,)), Site("pattern", 0, (2,), (1,), (1,)),
    ]  # fmt: skip
    rows = rows_of(runs(source), [Patch((where,)) for where in sites])
    assert rows.patch.tolist() == [0, 2, 4]
    assert rows.start.tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="are written head by head; name the heads"):
        rows_of(runs(source), [Patch((Site("pattern", 0, (2,), None, (1,)),))])


def test_operations_that_need_no_source_count_everywhere() -> None:
    rows = rows_of(runs({("z", 0): at((2, 3, 4, 4))}), [Patch((Site("z", 0, (1,)),), operation="zero")])
    assert rows.example.tolist() == [0, 1]
    assert {place.form for place in rows.entries} == {"whole"}
    assert next(iter(rows.entries)) == Place("z", 0, "whole", "zero", 1.0)


def test_places_are_written_under_one_name() -> None:
    assert canonical(Site("resid_post", 0), 2) == ("resid_pre", 1)
    assert canonical(Site("resid_post", 1), 2) == ("resid_post", 1)
    assert canonical(Site("attn_scores", 1), 2) == ("pattern", 1)
    assert canonical(Site("embed"), 2) == ("embed", 0)
    assert canonical(Site("rot_q", 1), 2) == ("rot_q", 1)


def test_an_example_has_the_places_that_lie_within_it() -> None:
    sites = [(Site("z", 0),), (Site("z", 0, (2,)),), (Site("pattern", 0, (0,), (0,), (2,)), Site("z", 0, (0,)))]
    found = has_places([Patch(some) for some in sites], LENGTHS)
    assert found.tolist() == [[True, True], [True, False], [True, False]]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("replace", 5.0), ("mean", 5.0), ("add", 4.5), ("interpolate", 3.5), ("scale", 1.0), ("zero", 0.0)],
)
def test_operations_by_hand(operation: str, expected: float) -> None:
    """2 stands there, the source run has 5, the amount is a half."""
    assert combined(torch.tensor(2.0), torch.tensor(5.0), operation, 0.5).item() == expected


def test_means_count_no_padding() -> None:
    """Examples of 3 and 2 tokens: the last position is that of the first alone."""
    stream = torch.tensor([[[2.0], [4.0], [6.0]], [[4.0], [8.0], [100.0]]])
    assert mean_over_examples(stream, "stream", LENGTHS)[1, :, 0].tolist() == [3.0, 6.0, 6.0]
    pattern = torch.arange(2 * 1 * 3 * 3, dtype=torch.float64).view(2, 1, 3, 3)
    found = mean_over_examples(pattern, "pattern", LENGTHS)
    assert torch.equal(found[0, 0, :2], pattern[:, 0, :2].mean(0))
    assert torch.equal(found[1, 0, 2], pattern[0, 0, 2])
