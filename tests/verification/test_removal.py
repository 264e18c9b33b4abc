"""The circuit taken out by the twin's values: losses, what is compared, and when it is called specific."""

from dataclasses import replace

import pytest
import torch

from memcirc.models import Model
from memcirc.twins import beside
from memcirc.verification.removal import WORK, Removal, removal, specific
from tests.models import small_model
from tests.report.records import record
from tests.verification.subjects import passages, records, subject


def pair() -> Model:
    return beside(small_model("gpt2"), small_model("gpt2", seed=5))


def rows_of(n_edges: int, **changes: object) -> list[Removal]:
    text = passages(10)
    text = replace(text, seen=text.memorized[:4, ::-1], near=text.others[:3], common=text.ordinary[:2])
    return removal(subject(model=pair(), n_edges=n_edges, passages=text, **changes))


def test_losses_are_those_of_the_model_without_the_circuit_and_of_the_twins_values() -> None:
    model, text = pair(), passages(10)
    every = removal(subject(model=model, n_edges=model.weights.graph.n_edges, passages=text))
    none = removal(subject(model=model, n_edges=0, passages=text))
    for all_out, nothing_out in zip(every, none, strict=True):
        assert all_out.removed == pytest.approx(all_out.everything) == pytest.approx(nothing_out.everything)
        assert nothing_out.removed == pytest.approx(nothing_out.intact) == pytest.approx(all_out.intact)
        assert nothing_out.added == pytest.approx(0, abs=1e-9)
    ids = torch.from_numpy(text.memorized)
    said = model.logits(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[:, text.prompt_tokens - 1 :, 0]
    assert every[0].intact == pytest.approx(-float(said.mean()))


def test_each_kind_of_text_that_there_is_has_a_row() -> None:
    rows = rows_of(40)
    assert [row.text for row in rows] == [
        "memorized", "found on", "near", "ordinary", "common", "repeated random tokens",
    ]  # fmt: skip
    assert [row.n_passages for row in rows] == [10, 4, 3, 10, 2, 24]
    for row in rows:
        assert row.added == pytest.approx(row.removed - row.intact)
        assert (row.ablation, row.base, row.n_random) == ("twin", "clean", 8)


def test_what_the_model_knows_worse_than_by_guessing_does_not_count() -> None:
    told = {"intact": 1.0, "guessing": 3.0}
    rows = [
        record(Removal, text="memorized", added=1.0, low=0.9, **told),
        record(Removal, text="ordinary", added=0.0, **told),
        record(Removal, text="repeated random tokens", added=2.0, intact=3.5, guessing=3.0),
    ]
    assert specific(rows)
    assert not specific([rows[0], rows[2]])
    assert not specific([*rows, record(Removal, text="common", added=0.5, **told)])


def test_what_random_circuits_of_its_size_do_as_well_is_not_specific() -> None:
    told = {"intact": 1.0, "guessing": 3.0}
    other = record(Removal, text="ordinary", added=0.0, **told)
    for q95, expected in ((0.89, True), (0.91, False)):
        own = record(Removal, text="memorized", added=1.0, low=0.9, random_q95=q95, **told)
        assert specific([own, other]) == expected


def test_a_model_without_a_twin_has_no_such_check() -> None:
    assert records(WORK, subject(n_edges=5)) == []


def judged(low: float | None, other: float, seen: float = 5.0) -> bool:
    kinds = {"memorized": (1.0, low), "found on": (seen, None), "near": (0.0, None), "ordinary": (other, None)}
    return specific(
        [
            record(Removal, text=text, added=added, low=bound, intact=1.0, guessing=3.0)
            for text, (added, bound) in kinds.items()
        ]
    )


@pytest.mark.parametrize(
    ("low", "other", "expected"),
    [
        (0.9, 0.08, True), (0.9, -0.08, True), (0.9, 0.1, False), (0.9, -0.1, True),
        (0.11, 0.009, True), (0.09, 0.009, False), (0.109, 0.011, False), (0.12, 0.011, True), (None, 0.0, False),
    ],
)  # fmt: skip
def test_specific_is_ten_times_what_other_text_suffers_or_a_tenth_of_a_nat_where_it_suffers_none(
    low: float | None, other: float, expected: bool
) -> None:
    assert judged(low, other) == expected
