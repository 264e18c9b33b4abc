"""Export a run's circuits to the files of other programs: ``RUN/export/TASK_MODE.EXTENSION``."""

from pathlib import Path

from memcirc.interop.export import EXTENSIONS, FORMATS, export
from memcirc.interop.mib import read_scored
from memcirc.interventions import MODES
from memcirc.run.config import resolve, stored_config


def export_circuit(run_dir: Path, file_format: str, task: str | None, mode: str | None, out: Path | None) -> Path:
    """Write one circuit and return its path.

    Args:
        task, mode: default: the run's first task, in the mode that discovery was asked for.

    Raises:
        ValueError: an unknown format or mode, or a task that the run does not have.
        FileNotFoundError: no run there, or no circuit of that task yet.
    """
    if file_format not in FORMATS:
        raise ValueError(f"format {file_format!r} is not known; accepted: {', '.join(FORMATS)}")
    stored = stored_config(run_dir)
    if not stored:
        raise FileNotFoundError(f"no run in {run_dir}; `memcirc demo` makes one in runs/demo")
    config = resolve(stored, {})
    task, mode = task or config.model.tasks[0], mode or config.discover.mode
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is not known; accepted: {', '.join(MODES)}")
    name = "circuit.json" if mode == config.discover.mode else f"circuit_{mode}.json"
    path = run_dir / task / "discover" / name
    if not path.is_file():
        known = sorted(each.parent.parent.name for each in run_dir.glob("*/discover/circuit.json"))
        raise FileNotFoundError(f"no circuit at {path}; this run has those of: {', '.join(known) or 'no task'}")
    target = out or run_dir / "export" / f"{task}_{mode}_{file_format}.{EXTENSIONS[file_format]}"
    export(read_scored(path), target, file_format)
    return target
