"""The whole configuration of a run: one section a stage, kept in ``RUN/config.yaml``."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from memcirc.artifacts import write_text
from memcirc.circuits.config import DiscoverConfig
from memcirc.config import check_fields, option
from memcirc.corpus.config import PrepareConfig
from memcirc.memorization.config import ScoreConfig
from memcirc.options import build, option_name, refuse_unknown, respelled
from memcirc.pairs.config import PairsConfig
from memcirc.run.tasks import TASKS, task_named
from memcirc.study import with_objective
from memcirc.verification.config import VerifyConfig

CONFIG_FILE = "config.yaml"
FOLDER = "folder"
METRICS_SAID = {"objective": DiscoverConfig.objective, "optimize_metric": DiscoverConfig.metric}
"""The options that name a metric, with their defaults."""
PATHS = ("model_name", "twin_name", "dataset", "path", "scores_path", "pairs_path")


@dataclass(frozen=True)
class ModelConfig:
    """The model, its twin, and which of the tasks are run on it.

    Raises:
        ValueError: no model, an unknown word, or a task that needs a twin without one.
    """

    model_name: str = option("", "hub name or local folder of the model")
    revision: str = option("", "branch, tag or commit of a model on the hub")
    twin_name: str = option("", "the same model without the memory: a hub name or local folder (task learned)")
    twin_revision: str = option("", "branch, tag or commit of the twin; without --twin_name, of the model itself")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps")
    dtype: str = option(
        "float32", "precision of the weights", choices=("float32", "float64", "bfloat16", "float16", "auto")
    )
    contrastive_mode: str = option(
        "both",
        "pairs where recitation breaks off (task branch), memorized against not (task memorization), or the model "
        "against its twin (task learned); both: all that there is a model for",
        choices=("both", *(task.contrast for task in TASKS.values())),
    )
    path: str = option("", "file of pairs to take in place of making pairs")

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.model_name:
            raise ValueError("--model_name is needed: a hub name or a local folder")
        if not self.has_twin and any(TASKS[name].needs_twin for name in TASKS.keys() & set(self.tasks)):
            raise ValueError("task learned is about a model and its twin; --twin_name or --twin_revision is needed")

    @property
    def has_twin(self) -> bool:
        """Whether a twin is named."""
        return bool(self.twin_name or self.twin_revision)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, which are also their folders."""
        if self.path:
            return (Path(self.path).stem,)
        if self.contrastive_mode == "both":
            return tuple(name for name, task in TASKS.items() if self.has_twin or not task.needs_twin)
        return tuple(name for name, task in TASKS.items() if task.contrast == self.contrastive_mode)


@dataclass(frozen=True)
class RunConfig:
    """Every section of a run, and the folder from which its relative paths are meant.

    Raises:
        ValueError: sections that contradict each other.
    """

    model: ModelConfig
    prepare: PrepareConfig
    score: ScoreConfig
    pairs: PairsConfig
    discover: DiscoverConfig
    verify: VerifyConfig
    folder: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        told = {self.discover.ablation, self.verify.ablation} - {DiscoverConfig.ablation, VerifyConfig.ablation, "twin"}
        if told and all(task_named(task).needs_twin for task in self.model.tasks):
            raise ValueError(f"ablation {told.pop()!r}: task learned is found and measured against the twin alone")
        given = _metrics(self.discover, self.verify)
        self.refuse_overruled({name for name, value in given if value != METRICS_SAID[name]})
        longest, n_prompt = max(self.score.lengths, default=0), self.prepare.prompt_tokens
        if longest > n_prompt:
            raise ValueError(f"prefix length {longest}: the prompt has {n_prompt} tokens")

    def refuse_overruled(self, said: Collection[str]) -> None:
        """Raises ValueError for the option of a metric that was said and that no task of the run follows."""
        tasks = [task_named(name) for name in self.model.tasks]
        followed = [
            _metrics(task.discovery(self.discover, self.pairs), task.verification(self.verify, self.pairs))
            for task in tasks
        ]
        for i, (name, value) in enumerate(_metrics(self.discover, self.verify)):
            kept = {metrics[i][1] for metrics in followed}
            if name in said and value not in kept:
                raise ValueError(
                    f"{name} {value!r}: task {self.model.tasks[0]} with answer {self.pairs.answer!r} is found and "
                    f"measured by {kept.pop()} alone"
                )

    def save(self, run_dir: Path) -> None:
        """Write ``config.yaml``, atomically."""
        content = {FOLDER: str(self.folder), **self.sections}
        write_text(run_dir / CONFIG_FILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    @property
    def sections(self) -> dict[str, dict[str, Any]]:
        """Every section as plain values."""
        return {name: _plain(asdict(getattr(self, name))) for name in SECTIONS}

    def of_task(self, name: str) -> "RunConfig":
        """The configuration as a task's stages have it."""
        task = task_named(name)
        return replace(
            self,
            pairs=task.pairs(self.pairs),
            discover=task.discovery(self.discover, self.pairs),
            verify=task.verification(self.verify, self.pairs),
        )

    def circuit_name(self, mode: str) -> str:
        """Name of the file of a task's minimal circuit; the mode that discovery was asked for has none in it."""
        return "circuit.json" if mode == self.discover.mode else f"circuit_{mode}.json"

    @property
    def twin(self) -> tuple[str, str]:
        """Name and revision of the twin; a revision alone is one of the model itself."""
        return self.model.twin_name or self.model.model_name, self.model.twin_revision

    @property
    def named_model(self) -> dict[str, Any]:
        """The model, and its twin where there is one, as every stage's marker names them."""
        named = self.model
        own: dict[str, Any] = {"model_name": named.model_name, "dtype": named.dtype}
        own |= {"revision": named.revision} if named.revision else {}
        if not named.has_twin:
            return own
        twin, revision = self.twin
        return own | {"twin_name": twin, "twin_revision": revision}

    def located(self, path: str) -> str:
        """A path or name of this configuration as this process reaches it: what is there from the run's folder is
        meant from there, wherever the process runs; anything else (a name on the hub, a file of this process's folder)
        is given back as it is.
        """
        meant = self.folder / path
        elsewhere = bool(path) and self.folder != Path.cwd() and meant.exists()
        return str(meant) if elsewhere else path


SECTIONS: dict[str, type] = {f.name: f.type for f in fields(RunConfig) if isinstance(f.type, type) and f.name != FOLDER}


@dataclass(frozen=True)
class StageCommand:
    """A command that runs everything up to a stage: what it is for, the method of
    :class:`memcirc.run.pipeline.Pipeline` that makes the stage, whether it is made for each task, and whether work on
    the way is done in units."""

    about: str
    stage: str
    of_tasks: bool = False
    in_units: bool = True


STAGES = {
    "prepare": StageCommand("a Pile subset or local files -> windows of token ids", "windows", in_units=False),
    "score": StageCommand("windows -> memorization scores", "score"),
    "pairs": StageCommand("scores -> contrastive pairs", "pairs", of_tasks=True),
    "discover": StageCommand("pairs -> edge scores and the minimal circuit", "discover", of_tasks=True),
}
"""By the name of the command, which is that of the stage's section."""


def sections_of(command: str) -> tuple[str, ...]:
    """The sections that a command has options of: a stage's own and those before it, or all up to discovery for a stage
    that has none of its own; all of a run."""
    names = tuple(SECTIONS)
    of_demo = names[names.index("score") :]
    chosen = {"run": names, "demo": of_demo, "demo-real": of_demo, "verify": ("model", "verify")}
    last = command if command in names else "discover"
    return chosen.get(command) or names[: names.index(last) + 1]


def _metrics(found: DiscoverConfig, verify: VerifyConfig) -> list[tuple[str, str]]:
    """The options that name a metric, with their values; one of them for each of both sections."""
    return [("objective", found.objective), ("optimize_metric", found.metric), ("optimize_metric", verify.metric)]


def _plain(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in section.items()}


def _meant(path: str, folder: Path, before: str | None) -> str:
    """A path that was typed here as it is meant from a run's folder: as before where that is the same file."""
    here = Path.cwd() / path
    if not here.exists():
        return path
    if before and (folder / before).exists() and here.samefile(folder / before):
        return before
    return path if Path.cwd() == folder else str(here)


SHARED = ("engine", "optimize_metric", "seed")


def resolve(
    stored: Mapping[str, Any], options: Mapping[str, Any], sections: Collection[str] = tuple(SECTIONS)
) -> RunConfig:
    """The stored sections, with what the user said now on top.

    Args:
        stored: folder and sections as in ``config.yaml``.
        options: by name; paths among them are meant from where the process runs. One that several of ``sections`` have
            belongs to the first of them, a shared one to all.
        sections: those that the command has options of.
    """
    folder = Path(stored.get(FOLDER, Path.cwd()))
    before = {key: value for name in stored.keys() & SECTIONS.keys() for key, value in stored[name].items()}
    options = {
        key: _meant(value, folder, before.get(key)) if key in PATHS and value else value
        for key, value in options.items()
    }
    options = with_objective(options, stored.get("discover", {}).get("objective", DiscoverConfig.objective))
    said, whole = METRICS_SAID.keys() & options.keys(), options.pop("global_batch_size", None)
    if whole is not None:
        batch_sizes = {"mem_batch_size": str(whole), "contrastive_batch_size": whole, "eap_batch_size": whole}
        options = {**batch_sizes, **options}
    resolved: dict[str, Any] = {}
    for name, config in SECTIONS.items():
        own = {option_name(f) for f in fields(config)} & options.keys() if name in sections else set()
        resolved[name] = build(config, stored.get(name, {}), {key: options[key] for key in own})
        options = {key: value for key, value in options.items() if key not in own or key in SHARED}
    whole_run = RunConfig(**resolved, folder=folder)
    whole_run.refuse_overruled(said)
    return whole_run


def read_config(path: Path) -> dict[str, Any]:
    """The sections of a YAML file, and its ``folder`` where it names one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, or a section or key that is not known.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no configuration at {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: sections {', '.join(SECTIONS)} are expected, not a {type(content).__name__}")
    refuse_unknown(content, {FOLDER, *SECTIONS}, str(path))
    folder = content.pop(FOLDER, None)
    if folder is not None and not isinstance(folder, str):
        raise ValueError(f"{path}: folder {folder!r} is no path")
    for name, section in content.items():
        if not isinstance(section or {}, dict):
            raise ValueError(f"{path}, section {name}: a mapping is expected, not {section!r}")
        content[name] = in_our_words(name, section or {})
        refuse_unknown(content[name], {f.name for f in fields(SECTIONS[name])}, f"{path}, section {name}")
    return content if folder is None else {FOLDER: folder, **content}


def in_our_words(section: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A section of a configuration, as a file or a stage's marker has it, in the library's words: those of the study
    stand in the files of older runs."""
    return respelled(SECTIONS[section], with_objective(content) if section == "discover" else content)


def stored_config(run_dir: Path) -> dict[str, Any]:
    """The sections that an earlier command left in this run directory; empty where there are none."""
    path = run_dir / CONFIG_FILE
    return read_config(path) if path.is_file() else {}
