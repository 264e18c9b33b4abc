"""What each command does with its options; what is heavy is imported when it is done."""

import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memcirc.run.config import CONFIG_FILE, STAGES, RunConfig, read_config, resolve, sections_of, stored_config
from memcirc.verification.checks import DEFAULT_CHECKS
from memcirc.work.config import Execution

if TYPE_CHECKING:
    from memcirc.demo import Demo
    from memcirc.demo.real import RealDemo

DEMO_CACHE = "runs/cache"
OF_THE_DEMO: dict[str, dict[str, Any]] = {
    "score": {"unit_windows": 256},
    "discover": {"refine": True},
    "verify": {"checks": ",".join((*DEFAULT_CHECKS, "specific", "methods"))},
}
"""What the demo shows beyond what a run does unless told otherwise, in units that several processes share."""
OF_A_REAL_MODEL = {"checks": "removal,edges,faithfulness,dose", "n_passages": 12}
"""How much verification measures where a circuit takes a second."""
Command = Callable[[dict[str, Any], list[str]], int | None]
"""Given the options that were said, and the words of the command line for the manifest; what it gives is the exit
status, None for 0."""


def command_named(name: str) -> Command:
    """The function that does a command, one of ``COMMANDS`` or of :data:`memcirc.run.config.STAGES`."""
    return COMMANDS[name] if name in COMMANDS else partial(_stages, name)


def _stages(name: str, options: dict[str, Any], argv: list[str]) -> None:
    """Everything up to the stage that the command names, to the page for a ``run``."""
    from memcirc.run.command import run_stages

    run_dir, force, execution = options.pop("run_dir"), options.pop("force"), _execution(options)
    run_stages(run_dir, _resolved(name, run_dir, options), force, argv, STAGES.get(name), execution)


def _execution(options: dict[str, Any]) -> Execution:
    """The options of who does the units, which are taken out of the others, since they change no result."""
    names = {field.name for field in fields(Execution)} & options.keys()
    return Execution(**{name: options.pop(name) for name in names})


def _resolved(command: str, run_dir: Path, options: dict[str, Any]) -> RunConfig:
    """The stored configuration (the run's own, or a file named by the user) with the options on top."""
    given = options.pop("config", None)
    config = resolve(read_config(given) if given else stored_config(run_dir), options, sections_of(command))
    if "model_name" in options and config.model.has_twin and not {"twin_name", "twin_revision"} & options.keys():
        name, revision = config.twin
        print(
            f"twin {name}{f' at {revision}' if revision else ''}: as {given or run_dir / CONFIG_FILE} has it; "
            "--twin_name '' --twin_revision '' leaves it out",
            file=sys.stderr,
        )
    return config


def _demo(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.demo import ensure

    print(f"embedded default: in {DEMO_CACHE}, made there the first time (about two minutes)", file=sys.stderr)
    if "shard" not in options:
        options.setdefault("executor", "processes")
    _run_demo(ensure(Path(DEMO_CACHE)), OF_THE_DEMO, options, argv)


def _demo_real(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.demo.real import ensure_real

    print(f"SmolLM2-135M with planted passages: in {DEMO_CACHE}, made there at first (25 minutes)", file=sys.stderr)
    sections: dict[str, dict[str, Any]] = {
        "model": {"contrastive_mode": "learned"},
        "discover": {"scan": False},
        "verify": OF_A_REAL_MODEL,
    }
    _run_demo(ensure_real(Path(DEMO_CACHE)), sections, options, argv)


def _run_demo(
    demo: "Demo | RealDemo", sections: dict[str, dict[str, Any]], options: dict[str, Any], argv: list[str]
) -> None:
    """The whole pipeline on a model and its twin that were made here, with these sections of the configuration."""
    from memcirc.run.command import run_stages

    named = {"model_name": str(demo.model_dir), "twin_name": str(demo.twin_dir)}
    stored: dict[str, dict[str, Any]] = {
        **sections,
        "model": {**named, **sections.get("model", {})},
        "prepare": {
            "dataset": str(demo.corpus_path),
            "prompt_tokens": demo.prompt_tokens,
            "generation_tokens": demo.generation_tokens,
        },
    }
    run_dir, force, execution = options.pop("run_dir"), options.pop("force"), _execution(options)
    run_stages(run_dir, resolve(stored, options, sections_of("demo")), force, argv, None, execution)


def _verify(options: dict[str, Any], argv: list[str]) -> None:
    preset, force, out, run_dir = options.pop("preset"), options.pop("force"), options.pop("out"), _run_dir(options)
    execution = _execution(options)
    if execution != Execution() and (preset is not None or out is not None):
        raise ValueError(
            "--executor, --shard and --workers share out a run's verification; leave out --preset and --out"
        )
    if preset is not None:
        if out is not None:
            raise ValueError(f"--out {out} with --preset {preset}: a preset's table goes to RUN/presets; leave one out")
        from memcirc.run.presets import run_preset

        run_preset(preset, run_dir)
        return
    from memcirc.run.command import verify_apart, verify_run

    config = _resolved("verify", run_dir, options)
    if out is None:
        verify_run(run_dir, config, force, argv, execution)
    else:
        verify_apart(run_dir, config, out)


def _run_dir(options: dict[str, Any]) -> Path:
    """The run's directory: the one that is named without an option, else that of ``--run_dir``."""
    run_dir: Path = options.pop("run_dir")
    return options.pop("run") or run_dir


def _report(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.run.command import report_run

    report_run(_run_dir(options), options["out"], options["redact"])


def _audit(options: dict[str, Any], argv: list[str]) -> int:
    from memcirc.report.tables import text_table
    from memcirc.run.auditing import audit
    from memcirc.run.consistency import COLUMNS

    checked = audit(_run_dir(options), options["share"], options["seed"])
    print(text_table([each.row(name) for name, each in checked.items()], COLUMNS))
    findings = [f"{name}: {line}" for name, each in checked.items() for line in each.findings]
    print("\n".join(findings) or "nothing was found that does not hold")
    return 1 if findings else 0


def _export(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.run.export import export_circuit

    print(export_circuit(_run_dir(options), options["format"], options["task"], options["mode"], options["out"]))


def _publish(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.run.command import publish_run

    publish_run(
        options["run"], options["name"], options["out"], options["with_text"], options["upload"], options["private"]
    )


def _compare(options: dict[str, Any], argv: list[str]) -> None:
    import json

    from memcirc.artifacts import finite
    from memcirc.run.comparing import compare

    found = compare(options["first"], options["second"])
    print(json.dumps(finite(found.to_json()), indent=1, ensure_ascii=False) if options["json"] else found)


def _patch(options: dict[str, Any], argv: list[str]) -> None:
    from memcirc.run import manifest
    from memcirc.studies.command import run_study
    from memcirc.work.locks import at_work

    name, run_dir, force = options.pop("study"), options.pop("run_dir"), options.pop("force")
    with at_work(run_dir):
        page, config, device, seconds = run_study(name, run_dir, options, force)
        manifest.record(run_dir, argv, {name: config}, device, seconds)
    print(page)


def _doctor(options: dict[str, Any], argv: list[str]) -> None:
    if options["model"] is None:
        from memcirc.doctor import diagnosis

        print(diagnosis())
        return
    from memcirc.examining import examine, operations_a_second
    from memcirc.mapped import free_bytes

    print("\n".join(examine(options["model"]).lines(operations_a_second(), free_bytes())))


COMMANDS: dict[str, Command] = {
    "demo": _demo,
    "demo-real": _demo_real,
    "run": partial(_stages, "run"),
    "verify": _verify,
    "report": _report,
    "audit": _audit,
    "export": _export,
    "compare": _compare,
    "publish": _publish,
    "patch": _patch,
    "doctor": _doctor,
}
