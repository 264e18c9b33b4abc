"""Ablations and run settings: the table of the module's docstring, and every word that is refused."""

from itertools import product

import pytest

from memcirc.interventions import ABLATIONS, DANGLING, MODES, VERIFIED, Ablation, RunSettings, Way

MEANS = ("mean-clean", "mean-corrupt", "mean-both", "mean-all")


@pytest.mark.parametrize(
    ("mode", "reverse", "base", "direction"),
    [
        ("tree", False, "clean", "noising"), ("tree", True, "corrupt", "denoising"),
        ("edge", False, "corrupt", "denoising"), ("edge", True, "clean", "noising"),
    ],
)  # fmt: skip
def test_modes_and_directions_run_the_prompts_of_the_table(mode: str, reverse: bool, base: str, direction: str) -> None:
    settings = RunSettings(mode, reverse=reverse)
    assert (settings.base, settings.direction) == (base, direction)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("reverse", [False, True])
def test_a_twin_reads_the_prompt_that_the_model_reads(mode: str, reverse: bool) -> None:
    assert RunSettings(mode, "twin", reverse).prompt == "clean"
    assert RunSettings(mode, "resample", reverse).prompt == RunSettings(mode, "resample", reverse).base


def test_only_resample_needs_a_contrast_keeps_the_prefix_and_lets_nodes_rest() -> None:
    for name, ablation in ABLATIONS.items():
        expected = name == "resample"
        assert ablation.name == name
        assert (ablation.needs_contrast, ablation.keeps_prefix, ablation.rests) == (expected,) * 3


def test_means_are_of_the_prompts_in_their_names_position_by_position_but_for_one() -> None:
    assert {name: ablation.means_of for name, ablation in ABLATIONS.items()} == {
        "resample": (), "zero": (), "mean-clean": ("clean",), "mean-corrupt": ("corrupt",),
        "mean-both": ("clean", "corrupt"), "mean-all": ("clean", "corrupt"),
        "optimal": ("clean", "corrupt"), "twin": (),
    }  # fmt: skip
    assert [ABLATIONS[name].by_position for name in MEANS] == [True, True, True, False]
    assert [name for name, ablation in ABLATIONS.items() if ablation.learned] == ["optimal"]


def test_verification_runs_four_ablations_unless_told_otherwise() -> None:
    assert VERIFIED == ("resample", "zero", "mean-clean", "mean-corrupt")


def test_an_ablation_is_found_by_its_name_and_an_unknown_one_is_refused() -> None:
    assert Ablation.parse("zero") is ABLATIONS["zero"]
    assert RunSettings("tree", "mean-all").ablated is ABLATIONS["mean-all"]
    with pytest.raises(ValueError, match="ablation 'noise' is not known; accepted: resample, zero, mean-clean"):
        Ablation.parse("noise")


@pytest.mark.parametrize(
    ("name", "accepted"), [("mode", MODES), ("ablation", tuple(ABLATIONS)), ("dangling", DANGLING)]
)
def test_an_unknown_word_is_refused_with_those_accepted(name: str, accepted: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"{name} 'other' is not known; accepted: {', '.join(accepted)}"):
        RunSettings(**{"mode": "tree", name: "other"})


def test_a_circuits_connected_part_is_not_run_in_edge_mode() -> None:
    RunSettings("tree", dangling="prune")
    RunSettings("edge", dangling="keep")
    with pytest.raises(ValueError, match="which mode 'edge' does not run; use 'keep'"):
        RunSettings("edge", dangling="prune")


def test_a_reader_is_warned_of_one_kind_of_combination() -> None:
    for mode, ablation, reverse in product(MODES, ABLATIONS, (False, True)):
        warned = (mode, reverse) == ("edge", False) and ablation not in ("resample", "twin")
        assert bool(RunSettings(mode, ablation, reverse).caveat) == warned


def test_settings_are_what_autocircuit_and_the_study_take_unless_told_otherwise() -> None:
    assert RunSettings("tree") == RunSettings("tree", "resample", False, "keep")
    assert Way("tree").metric == "logit_diff"


def test_against_a_twin_a_circuit_is_sufficient_or_necessary() -> None:
    found = {
        (mode, reverse): RunSettings(mode, "twin", reverse).role for mode, reverse in product(MODES, (False, True))
    }
    assert found == {
        ("tree", False): "sufficient",
        ("tree", True): "",
        ("edge", True): "necessary",
        ("edge", False): "",
    }
    assert RunSettings("tree", "resample").role == ""
