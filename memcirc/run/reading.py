"""A run as its directory holds it, read only: asking for an artifact runs no stage, loads no model and writes nothing.

An artifact is given when

1. its stage has finished: ``done.json`` is there, and names it among its outputs;
2. its stage was configured as the run is, as far as the run's configuration speaks of it;
3. what its stage was made from is what still stands there, by the hashes in both markers;
4. the file is what the stage left, by its hash.

Whatever fails is said in one line that names the file and the command that makes it.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.artifacts import DONE, Marker, differences, file_hash, read_json, write_json
from memcirc.attribution.scores import EdgeScores, load_scores
from memcirc.checkpoints import read_object
from memcirc.circuit import Circuit
from memcirc.corpus.windows import Windows, read_windows
from memcirc.interop.reading import load_circuit
from memcirc.interventions import MODES
from memcirc.pairs.file import load_pairs
from memcirc.pairs.record import Pairs
from memcirc.report.files import RECITED, TRANSFER, RunFiles, TaskFiles
from memcirc.run.config import SECTIONS, RunConfig, in_our_words, resolve, stored_config
from memcirc.verification.result import Verification

ABSENT = "absent.json"
COMMANDS = {"windows": "prepare", "points": "pairs", "transfer": "run"}
SECTION_OF = {"windows": "prepare", "points": "pairs", "transfer": "verify"}
OF_THE_MODEL = ("model_name", "dtype", "revision", "twin_name", "twin_revision")
SET_BY_THE_RUN = ("contrastive_mode",)


class Run:
    """The run in a directory.

    Args:
        config: the configuration to read it under; default: its own ``config.yaml``.
    """

    def __init__(self, path: str | Path, config: RunConfig | None = None) -> None:
        self.path, self._given = Path(path), config

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def config(self) -> RunConfig:
        """The run's configuration.

        Raises:
            FileNotFoundError: there is no run in this directory.
        """
        if self._given is not None:
            return self._given
        stored = stored_config(self.path)
        if not stored:
            raise FileNotFoundError(f"no run in {self.path}; `memcirc demo` makes one in runs/demo")
        return resolve(stored, {})

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the run's tasks, finished or not."""
        return self.config.model.tasks

    @property
    def windows(self) -> Windows:
        """The windows of token ids that were scored."""
        return read_windows(self.artifact("windows", "windows.parquet"))

    @property
    def scores(self) -> pa.Table:
        """A row a window, with its scores."""
        return pq.read_table(self.artifact("score", "scores.parquet"))

    @property
    def report(self) -> Path:
        """The page.

        Raises:
            FileNotFoundError: none has been made.
        """
        page = self.path / "report" / "report.html"
        if not page.is_file():
            raise FileNotFoundError(f"no page at {page}; `memcirc report {quote(str(self.path))}` makes it")
        return page

    def pairs(self, task: str) -> Pairs:
        """All pairs of a task; ``.split`` them as the run does by :meth:`splits`."""
        return load_pairs(self.artifact(f"{self._known(task)}/pairs", "pairs.json"))

    def splits(self, task: str) -> tuple[Pairs, ...]:
        """Train, validation and test of a task's pairs."""
        return self.pairs(task).split(seed=self.config.pairs.split_seed)

    def edge_scores(self, task: str) -> EdgeScores:
        """The scores of every edge."""
        return load_scores(self.artifact(f"{self._known(task)}/discover", "edge_scores.safetensors"))

    def circuit_file(self, task: str, mode: str | None = None) -> Path:
        """The file of a task's minimal circuit; default: in the mode that discovery was asked for.

        Raises:
            ValueError: an unknown mode.
        """
        mode = mode or self.config.discover.mode
        if mode not in MODES:
            raise ValueError(f"mode {mode!r} is not known; accepted: {', '.join(MODES)}")
        return self.artifact(f"{self._known(task)}/discover", self.config.circuit_name(mode))

    def circuit(self, task: str, mode: str | None = None) -> Circuit:
        """The minimal circuit that discovery found."""
        return load_circuit(self.circuit_file(task, mode))[0]

    def verification(self, task: str) -> Verification:
        """What the task's circuits were found to do: the full verification where there is one of these circuits."""
        path = self.artifact(self._fullest(f"{self._known(task)}/verify"), "verification.json")
        return Verification.from_json(read_json(path))

    def artifact(self, stage: str, file: str) -> Path:
        """The file that a finished stage has left, checked as the module's text says.

        Raises:
            FileNotFoundError: the stage is not finished, has no such file, or the file is gone.
            ValueError: the file, or what it was made from, is not what it was.
        """
        done, path = self._finished(stage), self.path / stage / file
        if file not in done.outputs:
            raise FileNotFoundError(f"{self.path / stage} holds no {file}; it holds {', '.join(done.outputs)}")
        if not path.is_file():
            raise FileNotFoundError(f"{path} is gone; {self._remedy(stage)}")
        if file_hash(path) != done.outputs[file]:
            raise ValueError(f"{path} is damaged, or was changed by hand; {self._remedy(stage)}")
        return path

    def files(self) -> RunFiles:
        """What the page is made from: what is there, and is as its stage left it.

        Raises:
            FileNotFoundError, ValueError: no task is verified, or of none that is can the files be read
                (:meth:`artifact`).
        """
        verified = {task: self._fullest(f"{task}/verify") for task in self.tasks if self._is_verified(task)}
        if not verified:
            raise FileNotFoundError(f"{self.path} has no verified circuit; {self._remedy('verify')}")
        transfer, absent = self._fullest("transfer"), self._absent(verified)
        unread: dict[str, str] = {}
        tasks: dict[str, TaskFiles] = {}
        for task, stage in verified.items():
            try:
                tasks[task] = self._task_files(task, stage)
            except (FileNotFoundError, ValueError) as reason:
                absent[task] = str(reason)
        if not tasks:
            raise ValueError("; ".join(absent[task] for task in verified))

        def part(name: str, stage: str, file: str) -> Path | None:
            try:
                return self.artifact(stage, file) if self.has(stage) else None
            except (FileNotFoundError, ValueError) as reason:
                unread[name] = str(reason)
                return None

        scores, passed_on = part(RECITED, "score", "scores.parquet"), part(TRANSFER, transfer, "transfer.json")
        ground_truth = self.path / "presets" / "ground_truth.json"
        return RunFiles(
            config=self.config.sections,
            tasks=tasks,
            absent=absent,
            unread=unread,
            scores=scores,
            transfer=passed_on,
            ground_truth=ground_truth if ground_truth.is_file() else None,
            seconds=self._seconds([*tasks], [*(verified[task] for task in tasks), transfer]),
        )

    def _task_files(self, task: str, verified: str) -> TaskFiles:
        """A task's artifacts; ValueError also for records of another version."""
        verification = self.artifact(verified, "verification.json")
        Verification.from_json(read_json(verification))
        circuits = {mode: self.circuit_file(task, mode) for mode in MODES}
        return TaskFiles(self.artifact(f"{task}/pairs", "pairs.json"), circuits, verification)

    def _seconds(self, tasks: Sequence[str], last: Sequence[str]) -> dict[str, float]:
        """What each stage took that was finished, as far as its marker can be read."""
        stages = [
            "windows",
            "score",
            "points",
            *(f"{t}/{stage}" for t in tasks for stage in ("pairs", "discover")),
            *last,
        ]
        found = {}
        for name in stages:
            with suppress(FileNotFoundError, ValueError):
                found[name] = self._finished(name).seconds
        return found

    def _known(self, task: str) -> str:
        if task.partition("@")[0] not in self.tasks:
            raise ValueError(f"{self.path} has no task {task!r}; it has {', '.join(self.tasks)}")
        return task

    def has(self, stage: str) -> bool:
        """Whether a stage has finished."""
        return (self.path / stage / DONE).is_file()

    def _is_verified(self, task: str) -> bool:
        return self.has(self._fullest(f"{task}/verify"))

    def _absent(self, verified: Mapping[str, str]) -> dict[str, str]:
        """Why the other tasks have no part: what the run has written down, or that they are not verified yet."""
        path = self.path / ABSENT
        told = read_object(path) if path.is_file() else {}
        return {task: str(told.get(task, "it is not verified")) for task in self.tasks if task not in verified}

    def _fullest(self, stage: str) -> str:
        """The last full form of a stage that is finished and was made from what stands there; else the stage."""
        folder = (self.path / stage).parent
        full = [f"{stage}-full{rest}" for rest in ("", *_suffixes(folder, f"{Path(stage).name}-full"))]
        fresh = [name for name in full if self.has(name) and not self._stale(self._finished_marker(name))]
        return max(fresh, key=lambda name: self._finished_marker(name).finished, default=stage)

    def _finished(self, stage: str) -> Marker:
        """A stage's marker.

        Raises:
            FileNotFoundError: it is not finished.
            ValueError: an unreadable marker; another configuration, or other inputs, than what stands there.
        """
        done = self._finished_marker(stage)
        changed = [f"made from another {key}" for key in self._stale(done)]
        task, _, kind = stage.rpartition("/")
        if kind == "discover":
            changed += [f"made from {key}" for key in done.inputs if "/" in key and not key.startswith(f"{task}/")]
        section, was = SECTION_OF.get(kind, kind), marker_in_our_words(stage, done.config)
        if "model_name" in was:
            named = {key: was[key] for key in OF_THE_MODEL if key in was}
            changed += differences(named, self.config.named_model)
        if section in SECTIONS:
            config = self.config.of_task(task) if task else self.config
            asked = {"split_seed": config.pairs.split_seed, **asdict(getattr(config, section))}
            now = {k: v for k, v in asked.items() if k not in SET_BY_THE_RUN}
            shared = now.keys() & was.keys()
            changed += differences({k: was[k] for k in shared}, {k: now[k] for k in shared})
        if changed:
            raise ValueError(f"{self.path / stage}: {'; '.join(changed)}; {self._remedy(stage)} with --force")
        return done

    def _finished_marker(self, stage: str) -> Marker:
        if not self.has(stage):
            raise FileNotFoundError(f"{self.path / stage} is not finished; {self._remedy(stage)}")
        return Marker.read(self.path / stage / DONE)

    def _stale(self, done: Marker) -> list[str]:
        """The inputs from this run that have been made anew since."""
        stale = []
        for key, digest in done.inputs.items():
            maker = (self.path / key).parent / DONE
            if maker.is_file() and Marker.read(maker).outputs.get(Path(key).name) != digest:
                stale.append(key)
        return stale

    def _remedy(self, stage: str) -> str:
        kind, _, form = Path(stage).name.partition("-")
        whole = form.startswith("full") or "@" in stage
        command = "verify --full" if whole else COMMANDS.get(kind, kind)
        return f"`memcirc {command} --run_dir {quote(str(self.path))}` makes it"


def marker_in_our_words(stage: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration in a stage's marker with the study's words, which older runs wrote, as the library's."""
    kind = Path(stage).name.partition("-")[0]
    section = SECTION_OF.get(kind, kind)
    return in_our_words(section, config) if section in SECTIONS else config


def write_absent(run_dir: Path, absent: Mapping[str, str]) -> None:
    """Write down why tasks have no part in a run; nothing is left of it where all have."""
    if absent:
        write_json(run_dir / ABSENT, absent)
    else:
        (run_dir / ABSENT).unlink(missing_ok=True)


def _suffixes(folder: Path, start: str) -> list[str]:
    """What the names of further folders add to the full form's: a verification asked for with other options."""
    return sorted(path.name.removeprefix(start) for path in folder.glob(f"{start}-*") if path.is_dir())
