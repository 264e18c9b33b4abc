"""The discovery stage's configuration: what it is unless told otherwise, and every value that is refused."""

from dataclasses import fields

import pytest

from memcirc.circuits.config import DiscoverConfig


def test_discovery_is_that_of_the_study_unless_told_otherwise() -> None:
    assert vars(DiscoverConfig()) == {
        "method": "mask-ig", "steps": 5, "grid": "0..m-1", "objective": "logit_diff", "metric": "logit_diff",
        "target": 0.85, "ablation": "resample", "mode": "tree", "reverse": False, "by": "abs", "selection": "top",
        "scan": True, "also_under": "", "refine": False, "most_circuits": 1000, "engine": "native", "batch_size": 16,
        "seed": 0, "updates": 300, "rate": 0.1, "unit_pairs": 64,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["method", "grid", "ablation", "mode", "by", "selection", "engine"])
def test_an_unknown_word_is_refused_by_its_field(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 'other' is not known; accepted: "):
        DiscoverConfig(**{name: "other"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("steps", 0, "steps is 0; at least 1"), ("batch_size", 0, "batch_size is 0; at least 1"),
        ("unit_pairs", 0, "unit_pairs is 0; at least 1"), ("updates", 0, "updates is 0; at least 1"),
        ("most_circuits", 0, "most_circuits is 0; at least 1"),
        ("also_under", "zero,nothing", "ablation 'nothing' is not known"),
        ("rate", 0.0, "rate is 0.0; above 0 is needed"), ("seed", -1, "seed is -1; at least 0"),
        ("target", 1.1, r"target 1.1 is outside \[0, 1\]"), ("target", -0.1, r"target -0.1 is outside"),
        ("target", 0.0, r"target is 0.0; above 0 is needed"),
        ("metric", "loss", "metric 'loss' is not known"), ("objective", "rank", "metric 'rank' is not known"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_with_what_is_accepted(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DiscoverConfig(**{field: value})  # type: ignore[arg-type]


def test_values_at_the_edge_are_taken() -> None:
    for told in ({"steps": 1}, {"seed": 0}, {"target": 1e-9}, {"target": 1.0}, {"metric": "rank"}, {"unit_pairs": 1},
                 {"objective": "neg_kl"}):  # fmt: skip
        DiscoverConfig(**told)  # type: ignore[arg-type]


def test_options_have_their_further_spellings_and_names_of_their_own_where_another_stage_has_the_same() -> None:
    told = {field.name: field.metadata for field in fields(DiscoverConfig)}
    assert {name: about["option"] for name, about in told.items() if "option" in about} == {
        "metric": "optimize_metric", "batch_size": "eap_batch_size", "seed": "attribution_seed",
        "updates": "mask_updates", "rate": "mask_rate",
    }  # fmt: skip
    assert {name: about["flags"] for name, about in told.items() if about["flags"]} == {
        "steps": ("--ig",), "target": ("--target_performance",), "ablation": ("--ablation_type",),
        "mode": ("--patch_type",), "reverse": ("--reverse_clean_corrupt",),
    }  # fmt: skip
    assert all(about["help"] for about in told.values())
    assert {name for name, about in told.items() if about["words"]} == {"ablation", "mode"}
