"""The checks that discover anew, read running text, or knock out: each against a case whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from memcirc import engines
from memcirc.circuit import Circuit
from memcirc.circuits.runner import circuit_runner
from memcirc.pairs.record import Pairs
from memcirc.verification.dose import dose_response
from memcirc.verification.generation import generation
from memcirc.verification.knockout import knock_out
from memcirc.verification.method_overlaps import method_overlaps
from memcirc.verification.specificity import specificity
from memcirc.verification.stability import stability
from memcirc.verification.transfer import transfer
from memcirc.verification.verify import verify
from tests.models import random_pairs
from tests.verification.subjects import OWN_WAYS, passages, subject


def test_knocking_out_everything_leaves_nothing_and_no_second_circuit() -> None:
    made = subject(n_edges=0 + 100, mode="tree")
    (row,) = knock_out(made, False)
    alone = made.runner().faithfulness(~made.mask[None])[0]
    assert row.without_circuit == pytest.approx(float(alone))
    assert row.n_subsets == 20
    first = row.rounds[0]
    assert first["faithfulness"] >= 0.85 or not first["target_met"]
    assert len(row.back_ups) == 5


def test_the_circuit_that_answers_as_the_model_does_is_complete() -> None:
    made = subject(n_edges=30)
    whole = Circuit(frozenset(made.graph.edges))
    (row,) = knock_out(replace(made, circuit=whole), False)
    assert row.incompleteness == pytest.approx(0, abs=1e-9)
    assert (row.n_candidates, row.rounds) == (0, [])


def test_a_circuit_of_no_edges_has_no_knock_out_and_no_stability() -> None:
    empty = subject(n_edges=0)
    for check in (lambda made: knock_out(made, False), stability):
        with pytest.raises(ValueError, match="a circuit of 0 edges"):
            check(empty)


@pytest.mark.parametrize("options", OWN_WAYS)
def test_the_circuits_own_method_overlaps_with_it_fully(options: dict[str, object]) -> None:
    made = subject(attribution=options)
    rows = method_overlaps(made)
    (own,) = [r for r in rows if (r.method, r.selection, r.by) == ("eap", "top", "abs")]
    assert (own.jaccard, own.spearman) == pytest.approx((1, 1))
    assert own.faithfulness == pytest.approx(float(made.runner().faithfulness([made.circuit])[0]))
    assert len(rows) == (4 - ("ablation" in options)) * 3 + 4
    together = [r for r in rows if r.method.startswith("ensemble") or r.method == "consistent"]
    assert [r.method for r in together] == ["ensemble, mean", "ensemble, min", "ensemble, max", "consistent"]
    assert all(0 < r.jaccard <= 1 for r in together)


def test_every_interval_is_of_the_resamples_that_were_asked_for() -> None:
    """One resample leaves no room between the bounds."""
    made = subject(settings={"n_resamples": 1}, passages=passages(10))
    (measured, *_) = verify(
        made.model, made.pairs, made.circuit, mode="tree", checks=("faithfulness",), n_resamples=1
    ).faithfulness
    table = transfer(made.model, {"own": {"tree": made.circuit}}, {"own": made.pairs}, n_resamples=1)
    for row in (measured, table.cells[0].measured, *specificity(made)):
        assert row.low is not None
        assert row.low == row.high


def test_the_dose_rows_average_to_the_whole() -> None:
    made = subject()
    rows = dose_response(made)
    assert [row.copies for row in rows] == [1, 2, 3]
    n = np.array([row.n_pairs for row in rows])
    runner = circuit_runner(made.model, made.pairs, mode="tree")
    assert n @ [row.circuit for row in rows] / n.sum() == pytest.approx(float(runner.per_pair([made.circuit]).mean()))
    ends = runner.ends()
    moved = float(runner.per_pair([made.circuit]).mean()) - ends.nothing
    assert n @ [row.carried for row in rows] / n.sum() == pytest.approx(np.sign(ends.everything - ends.nothing) * moved)


def test_pairs_that_do_not_say_their_copies_have_no_dose() -> None:
    made = subject()
    unknown = Pairs(tuple(random_pairs(3)))
    with pytest.raises(ValueError, match="3 of 3 pairs do not say how often"):
        dose_response(replace(made, pairs=unknown))


def test_the_engine_that_is_asked_for_computes_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = subject(engine="auto-circuit", n_edges=20), []

    def spied(name: str) -> object:
        asked.append(name)
        return engines.engine_module("native")

    for module in ("memcirc.circuits.runner", "memcirc.attribution.mask_gradients"):
        monkeypatch.setattr(f"{module}.engine_module", spied)
    specificity(made)
    assert set(asked) == {"auto-circuit"}
    with pytest.raises(ValueError, match="engine 'auto-circuit' does not decode under a circuit"):
        generation(made, "model")
    stated = verify(made.model, made.pairs, made.circuit, mode="tree", checks=("faithfulness",), engine="auto-circuit")
    assert stated.statement["engine"] == "auto-circuit"
