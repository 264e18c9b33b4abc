"""The ``memcirc`` command. Options come from the stages' configurations; what is heavy is imported after parsing."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from memcirc.options import add_options, whole_number
from memcirc.run.process import outlets, stoppable
from memcirc.study import TwoFunctions

INTERRUPTED = 130
MISTAKE = 2
FAILURE = 1

DEFAULT_RUN = "runs/run"
DEMO_RUN = "runs/demo"
DEMO_CACHE = "runs/cache"


COMMAND_SECTIONS = {
    "demo": ("score", "pairs", "discover", "verify"),
    "run": ("model", "prepare", "score", "pairs", "discover", "verify"),
    "prepare": ("model", "prepare"),
    "score": ("model", "prepare", "score"),
    "pairs": ("model", "prepare", "score", "pairs"),
    "discover": ("model", "prepare", "score", "pairs", "discover"),
    "verify": ("model", "verify"),
}


IN_UNITS = ("demo", "run", "score", "pairs", "discover")
OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OneLineParser(argparse.ArgumentParser):
    """A parser whose refusals are one line, and to which ``--batch-size`` is ``--batch_size``."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        return super().parse_known_args(None if args is None else _underscored(args), namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKE, f"memcirc: {message}; see '{self.prog} --help'\n")


def _underscored(arguments: Sequence[str]) -> list[str]:
    """The same with ``_`` for ``-`` in the names of options; anything else, and all behind ``--``, as it is."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    named = []
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        named.append("--" + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument)
    return [*named, *arguments[end:]]


def _add_run_dir(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--run_dir", "--output_dir", type=Path, default=Path(default), metavar="DIR",
        help=f"directory of the run (default: {default})",
    )  # fmt: skip


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="directory of the run, as --run_dir")


def parser() -> argparse.ArgumentParser:
    """The whole command line; cheap, since it imports configurations alone."""
    from memcirc.run.config import SECTIONS

    top = OneLineParser(
        prog="memcirc",
        description="Find and verify the circuits by which a language model recites its training data.",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=OneLineParser)

    from memcirc.work.config import Execution

    def command(name: str, text: str, *sections: str, run_dir: str = DEFAULT_RUN) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        _add_run_dir(sub, run_dir)
        sub.add_argument("--force", action="store_true", help="make finished stages anew")
        for section in sections:
            add_options(sub, SECTIONS[section], f"{section} options")
        if "discover" in sections:
            add_options(sub, TwoFunctions, "objective, as the study says it")
        if name in IN_UNITS:
            add_options(sub, Execution, "execution options")
        return sub

    command("demo", "the whole pipeline on the embedded default", *COMMAND_SECTIONS["demo"], run_dir=DEMO_RUN)
    run = command("run", "the whole pipeline on any model and data", *COMMAND_SECTIONS["run"])
    run.add_argument(
        "config", nargs="?", type=Path, metavar="CONFIG.yaml", help="configuration of a run, as RUN/config.yaml"
    )
    run.add_argument(
        "--global_batch_size", type=whole_number, default=argparse.SUPPRESS, metavar="N",
        help="every batch size that is not given by itself",
    )  # fmt: skip
    for name, text in (
        ("prepare", "a Pile subset or local files -> windows of token ids"),
        ("score", "windows -> memorization scores"),
        ("pairs", "scores -> contrastive pairs"),
        ("discover", "pairs -> edge scores and the minimal circuit"),
    ):
        command(name, text, *COMMAND_SECTIONS[name])
    verify = command("verify", "circuits -> faithfulness, baselines, statistics", *COMMAND_SECTIONS["verify"])
    verify.add_argument("--preset", metavar="NAME", help="one of the study's tables, on a finished run")
    verify.add_argument(
        "--full", dest="checks", action="store_const", const="full", default=argparse.SUPPRESS,
        help="every check, and the page anew; short for --checks full",
    )  # fmt: skip
    verify.add_argument(
        "--out", type=Path, metavar="DIR",
        help="write to DIR/TASK/verification.json; the run's directory is only read",
    )  # fmt: skip
    _add_run(verify)
    text = "artifacts -> tables, figures, the page; loads no model"
    report = commands.add_parser("report", help=text, description=text, allow_abbrev=False)
    _add_run_dir(report, DEFAULT_RUN)
    _add_run(report)
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the page (default: RUN/report); the run is then only read"
    )
    text = "a circuit as a file that other programs read"
    export = commands.add_parser("export", help=text, description=text, allow_abbrev=False)
    _add_run_dir(export, DEFAULT_RUN)
    _add_run(export)
    export.add_argument(
        "--format", required=True, metavar="{mib-json,mib-pt,auto-circuit,graphml,dot,csv}", help="which file"
    )
    export.add_argument("--task", help="whose circuit (default: the run's first task)")
    export.add_argument("--mode", metavar="{tree,edge}", help="of which mode (default: the run's own)")
    export.add_argument("--out", type=Path, metavar="FILE", help="where to (default: RUN/export/)")
    _add_studies(commands)
    commands.add_parser("doctor", help="versions, devices, what is missing and how to get it")
    return top


def _add_studies(commands: Any) -> None:
    """``memcirc patch STUDY``, its options from the studies' configurations."""
    from memcirc.studies.config import STUDIES

    text = "activation patching: studies that end with a page"
    patch = commands.add_parser("patch", help=text, description=text, allow_abbrev=False)
    studies = patch.add_subparsers(dest="study", metavar="STUDY", required=True, parser_class=OneLineParser)
    for name, (config, about) in STUDIES.items():
        sub = studies.add_parser(name, help=about, description=about, allow_abbrev=False)
        _add_run_dir(sub, f"runs/{name}")
        sub.add_argument("--force", action="store_true", help="train the small models anew")
        add_options(sub, config, f"{name} options")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 2 for a caller's mistake (one line), 130 on Ctrl-C, 143 when terminated,
    1 where memory or disk end."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin crawl when others use the cores
    arguments = list(sys.argv[1:] if argv is None else argv)
    with outlets(), stoppable() as arrived:
        try:
            options = vars(parser().parse_args(arguments))
            for name in ("run_dir", "run"):
                _check_folder(name, options.get(name))
            COMMANDS[options.pop("command")](options, ["memcirc", *arguments])
            sys.stdout.flush()
        except BaseException as error:
            status, line = _in_words(error, arrived)
            print(f"memcirc: {' '.join(line.split())}", file=sys.stderr)
            return status
    return 0


def _in_words(error: BaseException, arrived: Sequence[int]) -> tuple[int, str]:
    """Exit status and line of what can go wrong without a fault of ours; what is one is raised again.

    Args:
        arrived: signals that have asked for an end.
    """
    if arrived or isinstance(error, KeyboardInterrupt):
        asked = arrived[0] if arrived else signal.SIGINT
        word = "interrupted" if asked == signal.SIGINT else "terminated"
        return 128 + asked, f"{word}; finished stages are kept, the same command goes on from them"
    if isinstance(error, OSError) and error.errno in OUT_OF_SPACE:
        return FAILURE, f"no space left ({error}); finished work is kept"
    if isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error):
        return FAILURE, f"no memory left ({error}); finished work is kept, smaller batches need less"
    if isinstance(error, ValueError | OverflowError | FileNotFoundError):
        return MISTAKE, str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return MISTAKE, f"{error.filename}: {error.strerror}"
    raise error


def _check_folder(name: str, folder: Path | None) -> None:
    """Raises ValueError for a run directory that cannot become one, since a file is in its place or above it."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), None) if folder else None
    if there is not None and not there.is_dir():
        raise ValueError(f"{name} {str(folder)!r}: {there} is a file, accepted is a folder")


def _stages(command: str, last_stage: str) -> Callable[[dict[str, Any], list[str]], None]:
    """The command that runs everything up to a stage."""

    def run(options: dict[str, Any], argv: list[str]) -> None:
        from memcirc.run.command import run_stages

        run_dir, force, execution = options.pop("run_dir"), options.pop("force"), _execution(options)
        run_stages(run_dir, _resolved(command, run_dir, options), force, argv, last_stage, execution)

    return run


def _execution(options: dict[str, Any]) -> Any:
    """Who does the units; these options are taken out of the others, since they change no result."""
    from memcirc.work.config import Execution

    names = {field.name for field in fields(Execution)} & options.keys()
    return Execution(**{name: options.pop(name) for name in names})


def _resolved(command: str, run_dir: Path, options: dict[str, Any]) -> Any:
    """The stored configuration (the run's own, or a file named by the user) with the options on top."""
    from memcirc.run.config import read_config, resolve, stored_config

    given = options.pop("config", None)
    return resolve(read_config(given) if given else stored_config(run_dir), options, COMMAND_SECTIONS[command])


def _demo(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.demo import ensure
    from memcirc.run.command import run_stages
    from memcirc.run.config import resolve

    print(f"embedded default: in {DEMO_CACHE}, made there the first time (about a minute)", file=sys.stderr)
    demo = ensure(Path(DEMO_CACHE))
    stored: dict[str, dict[str, Any]] = {
        "model": {"model_name": str(demo.model_dir)},
        "prepare": {
            "dataset": str(demo.corpus_path),
            "prompt_tokens": demo.prompt_tokens,
            "generation_tokens": demo.generation_tokens,
        },
    }
    run_dir, force, execution = options.pop("run_dir"), options.pop("force"), _execution(options)
    run_stages(run_dir, resolve(stored, options, COMMAND_SECTIONS["demo"]), force, argv, "report", execution)


def _verify(options: dict[str, Any], argv: list[str]) -> None:
    preset, force, out, run_dir = options.pop("preset"), options.pop("force"), options.pop("out"), _run_dir(options)
    if preset is not None:
        if out is not None:
            raise ValueError(f"--out {out} with --preset {preset}: a preset's table goes to RUN/presets; leave one out")
        from memcirc.run.presets import run_preset

        run_preset(preset, run_dir)
        return
    from memcirc.run.command import verify_apart, verify_run

    config = _resolved("verify", run_dir, options)
    if out is None:
        verify_run(run_dir, config, force, argv)
    else:
        verify_apart(run_dir, config, out)


def _run_dir(options: dict[str, Any]) -> Path:
    """The run that is meant: named alone, or by ``--run_dir``."""
    run_dir: Path = options.pop("run_dir")
    return options.pop("run") or run_dir


def _report(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.run.command import report_run

    report_run(_run_dir(options), options["out"])


def _export(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.run.export import export_circuit

    print(export_circuit(_run_dir(options), options["format"], options["task"], options["mode"], options["out"]))


def _patch(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.run import manifest
    from memcirc.studies.command import run_study

    name, run_dir, force = options.pop("study"), options.pop("run_dir"), options.pop("force")
    page, config, device, seconds = run_study(name, run_dir, options, force)
    manifest.record(run_dir, argv, {name: config}, device, seconds)
    print(page)


def _doctor(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.doctor import diagnosis

    print(diagnosis())


COMMANDS: dict[str, Callable[[dict[str, Any], list[str]], None]] = {
    "demo": _demo,
    "run": _stages("run", "report"),
    "prepare": _stages("prepare", "windows"),
    "score": _stages("score", "score"),
    "pairs": _stages("pairs", "pairs"),
    "discover": _stages("discover", "discover"),
    "verify": _verify,
    "report": _report,
    "export": _export,
    "patch": _patch,
    "doctor": _doctor,
}
