import re

import pytest

from memcirc.cli import COMMANDS, main, parser


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: memcirc" in capsys.readouterr().out


def test_options_may_be_written_with_dashes() -> None:
    with_dash = parser().parse_args(["run", "--model-name", "m", "--run-dir", "r", "--reverse-clean-corrupt"])
    with_bar = parser().parse_args(["run", "--model_name", "m", "--run_dir", "r", "--reverse_clean_corrupt"])
    assert vars(with_dash) == vars(with_bar)


def test_the_studys_options_are_there() -> None:
    known = {
        flag
        for action in parser()._subparsers._group_actions[0].choices["run"]._actions
        for flag in action.option_strings
    }  # type: ignore[union-attr]
    study = (
        "model_name dataset prompt_tokens generation_tokens threshold metric contrastive_mode output_dir mem_batch_size"
    )
    study += " contrastive_batch_size eap_batch_size global_batch_size"
    assert {f"--{name}" for name in study.split()} <= known


def test_an_unknown_option_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["score", "--modle_name", "x"])
    assert stop.value.code == 2
    assert "--modle_name" in capsys.readouterr().err


def test_doctor_names_versions_and_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert re.search(r"torch 2\..*\n(.*\n)*devices: cpu", capsys.readouterr().out)
