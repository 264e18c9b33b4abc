import io
import os
import re
import select
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from memcirc.cli import FAILURE, INTERRUPTED, MISTAKE, main, parser
from memcirc.commands import COMMANDS
from memcirc.options import finite_number, option_name, whole_number
from memcirc.run.config import SECTIONS, STAGES, sections_of
from memcirc.run.process import PATIENCE, Arrived, stoppable
from memcirc.studies.config import STUDIES


@pytest.mark.parametrize("command", [[], *([name] for name in (*STAGES, *COMMANDS))])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: memcirc" in capsys.readouterr().out


def test_options_may_be_written_with_dashes() -> None:
    with_dash = parser().parse_args(["run", "--model-name", "m", "--run-dir", "r", "--reverse-clean-corrupt"])
    with_bar = parser().parse_args(["run", "--model_name", "m", "--run_dir", "r", "--reverse_clean_corrupt"])
    assert vars(with_dash) == vars(with_bar)


@pytest.mark.parametrize(("words", "run"), [(["my-run"], "my-run"), (["--", "--my-run"], "--my-run")])
def test_values_keep_their_dashes(words: list[str], run: str) -> None:
    given = parser().parse_args(["report", "--out=--a-b", *words])
    assert (str(given.run), str(given.out)) == (run, "--a-b")


def test_an_alarm_of_somebody_else_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of a test that is to end after some time."""
    heard: list[int] = []

    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setitem(COMMANDS, "doctor", interrupted)
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 3600)
        assert main(["doctor"]) == INTERRUPTED
        left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert left > 3000
    assert not heard


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


def test_every_further_spelling_of_an_option_is_one_of_its_command() -> None:
    """Written as it is typed, in the configurations of stages and of studies."""
    of_commands = [(name, SECTIONS[section]) for name in STAGES for section in sections_of(name)]
    of_studies = [(f"patch {name}", config) for name, (config, _) in STUDIES.items()]
    for words, config in [*of_commands, ("verify", SECTIONS["verify"]), *of_studies]:
        command = parser()
        for word in words.split():
            command = subcommands(command)[word]
        known = {flag for action in command._actions for flag in action.option_strings}
        for f in fields(config):
            assert {f"--{option_name(f)}", *f.metadata.get("flags", ())} <= known or "help" not in f.metadata


def test_an_unknown_option_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["score", "--modle_name", "x"])
    assert stop.value.code == 2
    assert "--modle_name" in capsys.readouterr().err


def test_doctor_names_versions_and_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    assert re.search(r"torch 2\..*\n(.*\n)*devices: cpu", capsys.readouterr().out)


def subcommands(of: ArgumentParser) -> dict[str, ArgumentParser]:
    return of._subparsers._group_actions[0].choices if of._subparsers else {}  # type: ignore[union-attr,return-value]


def numeric_options() -> Iterator[tuple[list[str], str, type]]:
    """(command, option, int or float) for every option of every command that takes a number."""
    for name, command in subcommands(parser()).items():
        for words, one in [([name], command), *(([name, study], own) for study, own in subcommands(command).items())]:
            for action in one._actions:
                kind = {"N": int, "X": float}.get(str(action.metavar))
                if kind is not None:
                    assert action.type is (whole_number if kind is int else finite_number), action.dest
                    yield words, action.option_strings[0], kind


HUGE = [
    "99999999999999999999",
    "-99999999999999999999",
    "1" + "0" * 30,
    "9" * 5000,
    "1e400",
    "nan",
    "inf",
    "-inf",
    "x",
    "",
]


def test_a_number_that_is_none_or_too_large_is_one_line_for_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    options = list(numeric_options())
    assert len(options) > 60
    for words, option, kind in options:
        for value in HUGE if kind is int else HUGE[-6:]:
            with pytest.raises(SystemExit) as stop:
                main([*words, f"{option}={value}"])
            assert stop.value.code == MISTAKE
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert len(said) < 200
            assert f"argument {option}" in said


@pytest.mark.parametrize(
    "wrong",
    ["--mem_batch_size=1" + "0" * 30, "--mem_batch_size=" + "9" * 5000, "--prefix_lengths=" + "9" * 30,
     "--prefix_lengths=" + "9" * 5000, "--global_batch_size=-1", "--seed=-1", "--split_seed=-1", "--sample=2",
     "--prompt_tokens=2147483647", "--device=cuda:99999999999999999999", "--shard=0/" + "9" * 5000],
)  # fmt: skip
def test_numbers_within_words_are_one_line_too(wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["run", "--model_name", "no/model", "--dataset", "/none.txt", "--run_dir", str(tmp_path / "run")]
    assert main([*command, wrong]) == MISTAKE
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("line", ["verify: {seed: 99999999999999999999}", "pairs: {threshold: .nan}",
                                  "score: {temperature: .inf}", "prepare: {max_documents: 1000000000000}"])  # fmt: skip
def test_numbers_of_a_configuration_are_one_line_too(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(f"model: {{model_name: m}}\n{line}\n")
    assert main(["run", str(tmp_path / "c.yaml"), "--run_dir", str(tmp_path / "run")]) == MISTAKE
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "accepted is a" in said


@pytest.mark.parametrize("study", ["ioi", "pii", "latent"])
def test_a_seed_below_0_is_refused_by_the_studies(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["patch", study, "--seed=-1"]) == MISTAKE
    assert "seed is -1" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_place_of_the_run_directory_is_one_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    folder = str(tmp_path / place)
    for words in (
        "score --model_name m --run_dir",
        "verify",
        "demo --run_dir",
        "patch ioi --run_dir",
        "export --format csv",
    ):
        command = [*words.split(), folder]
        assert main(command) == MISTAKE
        assert f"{tmp_path / 'file'} is a file, accepted is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (KeyboardInterrupt(), INTERRUPTED, "interrupted; finished stages are kept"),
        (MemoryError("too much"), FAILURE, "no memory left (too much)"),
        (OverflowError("too large"), MISTAKE, "too large"),
        (PermissionError(13, "Permission denied", "/there"), MISTAKE, "/there: Permission denied"),
        (IsADirectoryError(21, "Is a directory", "/there"), MISTAKE, "/there: Is a directory"),
    ],
)
def test_an_end_that_is_no_fault_of_ours_is_one_line(
    error: BaseException, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(*_: object) -> None:
        raise error

    for name in ("_check_folder", "parser"):
        with monkeypatch.context() as patched:
            patched.setattr(f"memcirc.cli.{name}", end)
            assert main(["doctor"]) == status
        assert capsys.readouterr().err.startswith(f"memcirc: {line}")


@pytest.mark.parametrize("error", [ValueError("a mistake"), None])
def test_whatever_ends_a_command_answers_what_has_arrived(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before its last line is written: an alarm that rings then would end it with a traceback."""
    known: list[Arrived] = []

    @contextmanager
    def watched() -> Iterator[Arrived]:
        with stoppable() as arrived:
            known.append(arrived)
            yield arrived

    def ending(*_: object) -> None:
        assert not known[0].answered
        if error:
            raise error

    def in_words(error: BaseException, arrived: Arrived) -> tuple[int, str]:
        assert arrived.answered
        return MISTAKE, str(error)

    monkeypatch.setattr("memcirc.cli.stoppable", watched)
    monkeypatch.setattr("memcirc.cli._in_words", in_words)
    monkeypatch.setitem(COMMANDS, "doctor", ending)
    assert main(["doctor"]) == (MISTAKE if error else 0)
    assert known[0].answered


def test_an_interruption_that_is_answered_does_not_come_again() -> None:
    """The alarm that would bring it again may ring when all is over but for the last lines."""
    for end in ((), (signal.SIGTERM,)):
        with stoppable() as arrived:
            try:
                signal.setitimer(signal.ITIMER_REAL, PATIENCE / 10)
                for number in end:
                    os.kill(os.getpid(), number)
                arrived.answered = True
            except KeyboardInterrupt:
                arrived.answered = True
            time.sleep(2 * PATIENCE)
            os.kill(os.getpid(), signal.SIGTERM)
        assert arrived == list(end)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interruption_that_a_library_swallows_or_makes_an_error_of_is_one(
    number: int, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tidied = []

    def swallowing(*_: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            pass
        try:
            time.sleep(30)
        finally:
            time.sleep(1)  # what is being tidied up is left in peace
            tidied.append(True)

    def turning(*_: object) -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            raise ImportError("could not be loaded") from None

    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]
    for command in (swallowing, turning):
        monkeypatch.setitem(COMMANDS, "doctor", command)
        assert main(["doctor"]) == status
        assert capsys.readouterr().err.count("\n") == 1
    assert tidied
    assert before == [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)]


def test_a_fault_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> None:
        raise AssertionError

    monkeypatch.setitem(COMMANDS, "doctor", end)
    with pytest.raises(AssertionError):
        main(["doctor"])


def test_output_that_the_encoding_does_not_hold_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setitem(COMMANDS, "doctor", lambda *_: print("1 \u2013 2 \ud83d"))
    assert main(["doctor"]) == 0
    assert raw.getvalue() == b"1 ? 2 ?\n"


TABLE = """
import sys
from memcirc import cli, commands
def table(*_):
    for _ in range(20_000):
        print("a \u2013 b", "x" * 100)
    print("end", file=sys.stderr)
commands.COMMANDS["doctor"] = table
sys.exit(cli.main(["doctor"]))
"""
FULL = "[Errno 28] No space left on device"


@pytest.mark.parametrize(
    ("shell", "out", "err"),
    [
        ("COMMAND | head -1 | sed 's/ x*$//'", "a \u2013 b\n", "end\n0\n"),
        ("PYTHONIOENCODING=ascii COMMAND | head -1 | sed 's/ x*$//'", "a ? b\n", "end\n0\n"),
        ("PYTHONIOENCODING=latin-1 LC_ALL=C COMMAND | head -1 | sed 's/ x*$//'", "a ? b\n", "end\n0\n"),
        ("COMMAND >&-", "", "end\n0\n"),
        ("COMMAND 2>&- | head -1 | sed 's/ x*$//'", "a \u2013 b\n", "0\n"),
        ("COMMAND > /dev/full", "", f"memcirc: no space left ({FULL}); finished work is kept\n1\n"),
    ],
)
def test_a_command_ends_well_whoever_reads_it(shell: str, out: str, err: str) -> None:
    ended = subprocess.run(
        ["bash", "-c", shell.replace("COMMAND", '"$0" -c "$1"') + "; echo ${PIPESTATUS[0]} >&2", sys.executable, TABLE],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == (out, err)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_line_of_what_is_being_done_is_there_while_it_is_done(unbuffered: str) -> None:
    """The program waits for its reader after the line, so that a line that waits for the program is never read."""
    program = "import sys\nfrom memcirc.run.process import outlets\n"
    program += "with outlets():\n print('at work', file=sys.stderr)\n input()"
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        ready, _, _ = select.select([process.stderr], [], [], 60)
        assert ready
        assert process.stderr.readline() == "at work\n"
    finally:
        process.kill()
        process.wait()


INTERRUPTED_AT = """
import os, sys
from memcirc.__main__ import run


class Interrupting:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), SIGNAL)


sys.meta_path.insert(0, Interrupting)
sys.argv = ["memcirc", "patch", "latent", "--run_dir", FOLDER]
sys.exit(run())
"""


@pytest.mark.parametrize(
    ("number", "status", "module"),
    [
        *((signal.SIGINT, INTERRUPTED, name) for name in ("memcirc.cli", "numpy.linalg", "torch.nn", "scipy.stats")),
        *((signal.SIGTERM, 143, name) for name in ("torch", "transformers", "memcirc.run.manifest")),
    ],
)
def test_a_signal_while_a_module_is_loaded_is_one_line(number: int, status: int, module: str, tmp_path: Path) -> None:
    program = INTERRUPTED_AT.replace("MODULE", repr(module)).replace("SIGNAL", str(int(number)))
    program = program.replace("FOLDER", repr(str(tmp_path)))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == status
    said = ended.stderr.splitlines()
    assert [line for line in said if line.startswith("memcirc: ")] == said[-1:]
    assert "Traceback" not in ended.stderr
