"""The ``memcirc`` command. Options come from the stages' configurations; what is heavy is imported after parsing."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from memcirc.options import add_options

INTERRUPTED = 130
MISTAKE = 2

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
    "report": (),
}


def parser() -> argparse.ArgumentParser:
    """The whole command line; cheap, since it imports configurations alone."""
    from memcirc.run.config import SECTIONS

    top = argparse.ArgumentParser(
        prog="memcirc",
        description="Find and verify the circuits by which a language model recites its training data.",
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, text: str, *sections: str, run_dir: str = DEFAULT_RUN) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument(
            "--run_dir", "--run-dir", "--output_dir", "--output-dir", type=Path, default=Path(run_dir), metavar="DIR",
            help=f"directory of the run (default: {run_dir})",
        )  # fmt: skip
        sub.add_argument("--force", action="store_true", help="make finished stages anew")
        for section in sections:
            add_options(sub, SECTIONS[section], f"{section} options")
        return sub

    command("demo", "the whole pipeline on the embedded default", *COMMAND_SECTIONS["demo"], run_dir=DEMO_RUN)
    run = command("run", "the whole pipeline on any model and data", *COMMAND_SECTIONS["run"])
    run.add_argument(
        "config", nargs="?", type=Path, metavar="CONFIG.yaml", help="configuration of a run, as RUN/config.yaml"
    )
    run.add_argument(
        "--global_batch_size", "--global-batch-size", type=int, default=argparse.SUPPRESS, metavar="N",
        help="every batch size that is not given by itself",
    )  # fmt: skip
    for name, text in (
        ("prepare", "a Pile subset or local files -> windows of token ids"),
        ("score", "windows -> memorization scores"),
        ("pairs", "scores -> contrastive pairs"),
        ("discover", "pairs -> edge scores and the minimal circuit"),
        ("report", "artifacts -> tables, figures, the page"),
    ):
        command(name, text, *COMMAND_SECTIONS[name])
    verify = command("verify", "circuits -> faithfulness, baselines, statistics", *COMMAND_SECTIONS["verify"])
    verify.add_argument("--preset", metavar="NAME", help="one of the study's tables, on a finished run")
    verify.add_argument("run", nargs="?", type=Path, metavar="RUN", help="the run that a preset works on")
    commands.add_parser("doctor", help="versions, devices, what is missing and how to get it")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 2 for a caller's mistake (one line), 130 on Ctrl-C."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin crawl when others use the cores
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = vars(parser().parse_args(arguments))
    try:
        COMMANDS[options.pop("command")](options, ["memcirc", *arguments])
    except KeyboardInterrupt:
        print("memcirc: interrupted; finished stages are kept, the same command goes on from them", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, FileNotFoundError) as error:
        print(f"memcirc: {' '.join(str(error).split())}", file=sys.stderr)
        return MISTAKE
    return 0


def _pipeline_command(name: str, last_stage: str) -> Callable[[dict[str, Any], list[str]], None]:
    def run(options: dict[str, Any], argv: list[str]) -> None:
        from memcirc.run.config import read_config, stored_config

        given = options.pop("config", None)
        stored = read_config(given) if given else stored_config(options["run_dir"])
        _run(options, argv, COMMAND_SECTIONS[name], last_stage, stored)

    return run


def _run(
    options: dict[str, Any], argv: list[str], sections: Sequence[str], last_stage: str, stored: Mapping[str, Any]
) -> None:
    from memcirc.run.config import resolve

    run_dir, force = options.pop("run_dir"), options.pop("force")
    config = resolve(stored, options, sections)
    from memcirc.run.command import run_stages

    run_stages(run_dir, config, force, argv, last_stage)


def _demo(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.demo import ensure

    demo = ensure(Path(DEMO_CACHE))
    stored = {
        "model": {"model_name": str(demo.model_dir)},
        "prepare": {
            "dataset": str(demo.corpus_path),
            "prompt_tokens": demo.prompt_tokens,
            "generation_tokens": demo.generation_tokens,
        },
    }
    _run(options, argv, COMMAND_SECTIONS["demo"], "report", stored)


def _verify(options: dict[str, Any], argv: list[str]) -> None:
    preset, run = options.pop("preset"), options.pop("run")
    if preset is None:
        if run is not None:
            options["run_dir"] = run
        _pipeline_command("verify", "verify")(options, argv)
        return
    from memcirc.run.presets import run_preset

    run_preset(preset, run or options["run_dir"])


def _doctor(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.doctor import diagnosis

    print(diagnosis())


COMMANDS: dict[str, Callable[[dict[str, Any], list[str]], None]] = {
    "demo": _demo,
    "run": _pipeline_command("run", "report"),
    "prepare": _pipeline_command("prepare", "windows"),
    "score": _pipeline_command("score", "score"),
    "pairs": _pipeline_command("pairs", "pairs"),
    "discover": _pipeline_command("discover", "discover"),
    "verify": _verify,
    "report": _pipeline_command("report", "report"),
    "doctor": _doctor,
}


if __name__ == "__main__":
    sys.exit(main())
