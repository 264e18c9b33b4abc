"""Export a run's circuits to the files of other programs: ``RUN/export/TASK_MODE_FORMAT.EXTENSION``, or a folder."""

from pathlib import Path

from memcirc.interop.export import SUBMISSION, export, format_named
from memcirc.interop.reading import read_scored
from memcirc.run.reading import Run
from memcirc.run.submission import write_submission


def export_circuit(run_dir: Path, file_format: str, task: str | None, mode: str | None, out: Path | None) -> Path:
    """Write one circuit and return its path.

    Args:
        task, mode: default: the run's first task, in the mode that discovery was asked for.

    Raises:
        ValueError: an unknown format or mode, a task that the run does not have, or a circuit that is not as discovery
            left it.
        FileNotFoundError: no run there, or no circuit of that task yet.
    """
    ending = "" if file_format == SUBMISSION else f".{format_named(file_format).extension}"
    run = Run(run_dir)
    task, mode = task or run.tasks[0], mode or run.config.discover.mode
    scored = read_scored(run.circuit_file(task, mode))
    target = out or run_dir / "export" / f"{task}_{mode}_{file_format}{ending}"
    if file_format == SUBMISSION:
        return write_submission(scored, target)
    export(scored, target, file_format)
    return target
