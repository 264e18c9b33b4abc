"""The ``memcirc`` command: its options, which come from the stages' configurations, and how it ends."""

import argparse
import errno
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from memcirc.commands import command_named
from memcirc.interop.export import FORMATS, SUBMISSION
from memcirc.options import add_options, finite_number, whole_number
from memcirc.run.config import SECTIONS, STAGES, sections_of
from memcirc.run.process import outlets, stoppable
from memcirc.studies.config import STUDIES
from memcirc.study import TwoFunctions
from memcirc.work.config import Execution
from memcirc.work.fitting import ran_out
from memcirc.work.threads import let_threads_wait

INTERRUPTED = 130
MISTAKE = 2
FAILURE = 1

DEFAULT_RUN = "runs/run"
DEMO_RUN = "runs/demo"
REAL_RUN = "runs/demo-real"
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


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", type=Path, metavar="RUN", help="directory of the run, as --run_dir")


def parser() -> argparse.ArgumentParser:
    """The whole command line; cheap, since it imports configurations alone."""
    top = OneLineParser(
        prog="memcirc",
        description="Find and verify the circuits by which a language model recites its training data.",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=OneLineParser)

    def command(name: str, text: str, run_dir: str = DEFAULT_RUN, in_units: bool = True) -> argparse.ArgumentParser:
        sub = _command(commands, name, text, run_dir)
        sub.add_argument("--force", action="store_true", help="make finished stages anew")
        sections = sections_of(name)
        for section in sections:
            add_options(sub, SECTIONS[section], f"{section} options")
        if "discover" in sections:
            add_options(sub, TwoFunctions, "objective, as the study says it")
        if in_units:
            add_options(sub, Execution, "execution options")
        return sub

    command("demo", "the whole pipeline on the embedded default", run_dir=DEMO_RUN)
    command(
        "demo-real", "the whole pipeline on a real pretrained model in which passages are planted", run_dir=REAL_RUN
    )
    run = command("run", "the whole pipeline on any model and data")
    run.add_argument(
        "config", nargs="?", type=Path, metavar="CONFIG.yaml", help="configuration of a run, as RUN/config.yaml"
    )
    run.add_argument(
        "--global_batch_size", type=whole_number, default=argparse.SUPPRESS, metavar="N",
        help="every batch size that is not given by itself",
    )  # fmt: skip
    for name, stage in STAGES.items():
        command(name, stage.about, in_units=stage.in_units)
    verify = command("verify", "circuits -> faithfulness, baselines, statistics")
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
    _add_readers(commands)
    _add_comparison(commands)
    _add_publication(commands)
    _add_studies(commands)
    doctor = commands.add_parser("doctor", help="versions, devices, what is missing; of a MODEL, what it would take")
    doctor.add_argument("model", nargs="?", metavar="MODEL", help="hub name, folder or .gguf file to be looked at")
    return top


def _add_readers(commands: Any) -> None:
    """What makes something of a finished run: the page, an audit, files of other programs."""
    report = _command(commands, "report", "artifacts -> tables, figures, the page; loads no model")
    _add_run(report)
    report.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the page (default: RUN/report); the run is then only read"
    )
    report.add_argument("--redact", action="store_true", help="passages as hashes and lengths in all that is written")
    audit = _command(
        commands, "audit", "does a finished run still hold? its files, splits, circuits and numbers, read only"
    )
    _add_run(audit)
    audit.add_argument(
        "--share", type=finite_number, default=0.1, metavar="X",
        help="part of the faithfulness numbers that is measured again (default: 0.1; 0: none, no model is loaded)",
    )  # fmt: skip
    audit.add_argument("--seed", type=whole_number, default=0, metavar="N", help="draws them (default: 0)")
    export = _command(commands, "export", "a circuit as a file that other programs read")
    _add_run(export)
    export.add_argument(
        "--format", required=True, metavar="{" + ",".join((SUBMISSION, *FORMATS)) + "}", help="which file"
    )
    export.add_argument("--task", help="whose circuit (default: the run's first task)")
    export.add_argument("--mode", metavar="{tree,edge}", help="of which mode (default: the run's own)")
    export.add_argument(
        "--out", type=Path, metavar="FILE", help="file (of a submission: folder) to write (default: in RUN/export/)"
    )


def _command(commands: Any, name: str, text: str, run_dir: str = DEFAULT_RUN) -> argparse.ArgumentParser:
    """A command on the directory of a run."""
    sub: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    sub.add_argument(
        "--run_dir", "--output_dir", type=Path, default=Path(run_dir), metavar="DIR",
        help=f"directory of the run (default: {run_dir})",
    )  # fmt: skip
    return sub


def _add_comparison(commands: Any) -> None:
    """``memcirc compare RUN_A RUN_B``."""
    text = "two runs side by side: configuration, data, circuits, numbers with their intervals"
    compare = commands.add_parser("compare", help=text, description=text, allow_abbrev=False)
    for name, metavar in (("first", "RUN_A"), ("second", "RUN_B")):
        compare.add_argument(name, type=Path, metavar=metavar, help="directory of a run")
    compare.add_argument("--json", action="store_true", help="as JSON, with all edges that one of them alone has")


def _add_publication(commands: Any) -> None:
    """``memcirc publish RUN OWNER/NAME``."""
    about = "a run as a folder for others, without text unless it is asked for; --upload puts it on the hub"
    publish = commands.add_parser("publish", help=about, description=about, allow_abbrev=False)
    publish.add_argument("run", type=Path, metavar="RUN", help="directory of the run")
    publish.add_argument("name", metavar="OWNER/NAME", help="the repository of the hub that it is for")
    publish.add_argument("--out", type=Path, metavar="DIR", help="the folder (default: RUN/published/OWNER--NAME)")
    text = publish.add_mutually_exclusive_group()
    text.add_argument("--with_text", action="store_true", help="with prompts, answers and token ids")
    text.add_argument("--redact", action="store_false", dest="with_text", help="without them, as by default")
    publish.add_argument("--upload", action="store_true", help="put the folder on the hub")
    publish.add_argument("--private", action="store_true", help="a repository that --upload makes is private")


def _add_studies(commands: Any) -> None:
    """``memcirc patch STUDY``, its options from the studies' configurations."""
    text = "activation patching: studies that end with a page"
    patch = commands.add_parser("patch", help=text, description=text, allow_abbrev=False)
    studies = patch.add_subparsers(dest="study", metavar="STUDY", required=True, parser_class=OneLineParser)
    for name, (config, about) in STUDIES.items():
        sub = _command(studies, name, about, f"runs/{name}")
        sub.add_argument("--force", action="store_true", help="make anew what is kept: small models, sweeps")
        add_options(sub, config, f"{name} options")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 2 for a caller's mistake (one line), 130 on Ctrl-C, 143 when terminated,
    1 where memory or disk end, or an audit has findings."""
    let_threads_wait()
    arguments = list(sys.argv[1:] if argv is None else argv)
    with outlets(), stoppable() as arrived:
        try:
            options = vars(parser().parse_args(arguments))
            for name in ("run_dir", "run"):
                _check_folder(name, options.get(name))
            status = command_named(options.pop("command"))(options, ["memcirc", *arguments])
            sys.stdout.flush()
            arrived.answered = True
        except BaseException as error:
            arrived.answered = True
            status, line = _in_words(error, arrived)
            print(f"memcirc: {' '.join(line.split())}", file=sys.stderr)
            return status
    return status or 0


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
    if ran_out(error):
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
