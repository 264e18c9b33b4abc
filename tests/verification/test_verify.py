import pytest

from memcirc.attribution.attribute import attribute
from memcirc.circuit import Circuit
from memcirc.circuits.runner import circuit_runner
from memcirc.pairs.record import Pair, Pairs
from memcirc.verification.config import VerifyConfig
from memcirc.verification.drawing import KINDS
from memcirc.verification.faithfulness import measure
from memcirc.verification.verify import verify
from tests.micro_models import m1
from tests.models import random_pairs, small_model


def test_a_measurement_is_normalised_with_its_own_ends() -> None:
    model, pairs = m1()
    row = measure(circuit_runner(model, pairs, mode="tree"), Circuit.from_edges(["input->logits"]))
    assert (row.value, row.nothing, row.everything, row.faithfulness) == pytest.approx((2, 0, 3, 2 / 3))
    assert (row.direction, row.base, row.n_edges, row.n_pairs) == ("noising", "clean", 1, 1)
    assert row.median_ratio == pytest.approx(2 / 3)
    assert row.correct == 1


def test_verify_covers_every_combination_and_compares_under_resample() -> None:
    model, pairs = small_model("gpt_neo"), random_pairs(4, lengths=(4, 6))
    scores = attribute(model, pairs, "eap")
    result = verify(model, pairs, scores, mode="tree", circuit=scores.top(20), n_random=10, curve_points=5)
    assert len(result.faithfulness) == 4 * 2
    assert {(row.kind, row.n_circuits, row.n_edges) for row in result.random} == {(kind, 10, 20) for kind in KINDS}
    assert all(row.p_value is None for row in result.random)
    assert {line.split(": ")[0] for line in result.refused} == {
        "tree, trivial", "tree, random circuits", "tree, dose", "tree, stability", "tree, certificates", "tree, groups",
        "tree, specificity",
    }  # fmt: skip
    for curve in result.curve:
        assert curve.sizes[0] == 1
        assert curve.sizes[-1] == scores.graph.n_edges
        assert curve.faithfulness[-1] == pytest.approx(1)
        assert not curve.random_mean if curve.reverse else curve.random_mean[-1] == pytest.approx(1)
    content = result.to_json()
    assert content["statement"]["averaging"] == "ratio of means over pairs"


def test_the_circuits_own_number_does_not_depend_on_the_other_checks() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    scores = attribute(model, pairs, "eap")
    alone = verify(model, pairs, scores.top(9), mode="edge", checks="faithfulness")
    whole = verify(model, pairs, scores, mode="edge", circuit=scores.top(9), n_random=3, curve_points=3)
    assert [r.faithfulness for r in alone.faithfulness] == [r.faithfulness for r in whole.faithfulness]


def test_a_twin_that_there_is_not_is_refused() -> None:
    model, pairs = small_model("gpt2"), random_pairs(3)
    with pytest.raises(ValueError, match=r"ablation 'twin' takes the values of a twin, and model 'GPT2.*' has none"):
        verify(model, pairs, attribute(model, pairs, "eap").top(9), mode="edge", ablations=("zero", "twin"))


def test_what_one_check_cannot_do_is_listed_and_the_rest_written() -> None:
    """Equal prompts: what needs other pairs or passages cannot be done, under zero ablation something can."""
    model = small_model("gpt2")
    same = Pairs((Pair((1, 2, 3), (1, 2, 3), (3,), (4,)),))
    scores = attribute(model, same, "random")
    result = verify(model, same, scores, mode="tree", circuit=scores.top(5), ablations=("zero",), n_random=2)
    assert any(line.startswith("tree, stability") for line in result.refused)
    assert {row.ablation for row in result.random} == {"zero"}
    assert {row.ablation for row in result.faithfulness if row.faithfulness is not None} == {"zero"}


def test_scores_without_a_circuit_are_refused() -> None:
    model, pairs = m1()
    with pytest.raises(ValueError, match="scores alone name no circuit"):
        verify(model, pairs, attribute(model, pairs, "eap"), mode="tree")


def test_one_direction_needs_no_list() -> None:
    model, pairs = m1()
    result = verify(
        model, pairs, Circuit.from_edges(["input->logits"]), mode="tree", checks="faithfulness", directions=True
    )
    assert {row.direction for row in result.faithfulness} == {"denoising"}


def test_an_unknown_check_is_refused() -> None:
    model, pairs = m1()
    with pytest.raises(ValueError, match="check 'vibes' is not known; accepted: removal, edges, faithfulness"):
        verify(model, pairs, Circuit.from_edges([]), mode="tree", checks=("vibes",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ablation": "noise"}, "ablation 'noise' is not known; accepted: all, resample"),
        ({"n_random": 0}, "n_random is 0; at least 1"),
        ({"checks": "curve,vibes"}, "check 'vibes' is not known; accepted: default, full, removal"),
        ({"checks": ","}, "checks ',' name none; accepted: default, full, removal"),
        ({"n_edges": 0}, "n_edges is 0; at least 1"),
        ({"metric": "loss"}, "metric 'loss' is not known"),
    ],
)
def test_bad_configurations_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VerifyConfig(**options)  # type: ignore[arg-type]
