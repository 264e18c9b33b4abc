"""The whole configuration of a run: one section a stage, kept in ``RUN/config.yaml``."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from memcirc.artifacts import write_text
from memcirc.circuits.config import DiscoverConfig
from memcirc.config import check_choices
from memcirc.corpus.config import PrepareConfig
from memcirc.memorization.config import ScoreConfig
from memcirc.options import build, refuse_unknown
from memcirc.pairs.config import PairsConfig
from memcirc.verification.config import VerifyConfig

CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class ModelConfig:
    """The model, and which of the two tasks are run on it.

    Raises:
        ValueError: no model, or an unknown word.
    """

    model_name: str = field(default="", metadata={"help": "hub name or local folder of the model"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    dtype: str = field(
        default="float32",
        metadata={"help": "precision of the weights", "choices": ("float32", "float64", "bfloat16", "float16")},
    )
    contrastive_mode: str = field(
        default="both",
        metadata={
            "help": "pairs where recitation breaks off (task branch), or memorized against not (task memorization)",
            "choices": ("both", "divergence", "dataset"),
        },
    )
    path: str = field(default="", metadata={"help": "file of pairs to take in place of making pairs"})

    def __post_init__(self) -> None:
        if not self.model_name:
            raise ValueError("--model_name is needed: a hub name or a local folder")
        check_choices(self)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks, which are also their folders."""
        if self.path:
            return (Path(self.path).stem,)
        chosen = {"both": ("branch", "memorization"), "divergence": ("branch",), "dataset": ("memorization",)}
        return chosen[self.contrastive_mode]


SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "prepare": PrepareConfig,
    "score": ScoreConfig,
    "pairs": PairsConfig,
    "discover": DiscoverConfig,
    "verify": VerifyConfig,
}


@dataclass(frozen=True)
class RunConfig:
    """Every section of a run.

    Raises:
        ValueError: sections that contradict each other.
    """

    model: ModelConfig
    prepare: PrepareConfig
    score: ScoreConfig
    pairs: PairsConfig
    discover: DiscoverConfig
    verify: VerifyConfig

    def __post_init__(self) -> None:
        longest, n_prompt = max(self.score.lengths, default=0), self.prepare.prompt_tokens
        if longest > n_prompt:
            raise ValueError(f"prefix length {longest}: the prompt has {n_prompt} tokens")

    def save(self, run_dir: Path) -> None:
        """Write ``config.yaml``, atomically."""
        content = {name: _plain(section) for name, section in asdict(self).items()}
        write_text(run_dir / CONFIG_FILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _plain(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in section.items()}


SHARED = ("engine", "optimize_metric", "seed")


def resolve(
    stored: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any], sections: Collection[str] = tuple(SECTIONS)
) -> RunConfig:
    """The stored sections, with what the user said now on top.

    Args:
        stored: sections as in ``config.yaml``.
        options: by name. One that several of ``sections`` have belongs to the first of them, a shared one to all.
        sections: those that the command has options of.
    """
    options = dict(options)
    whole = options.pop("global_batch_size", None)
    if whole is not None:
        batch_sizes = {"mem_batch_size": str(whole), "contrastive_batch_size": whole, "eap_batch_size": whole}
        options = {**batch_sizes, **options}
    resolved: dict[str, Any] = {}
    for name, config in SECTIONS.items():
        own = {f.name for f in fields(config)} & options.keys() if name in sections else set()
        resolved[name] = build(config, stored.get(name, {}), {key: options[key] for key in own})
        options = {key: value for key, value in options.items() if key not in own or key in SHARED}
    return RunConfig(**resolved)


def read_config(path: Path) -> dict[str, dict[str, Any]]:
    """The sections of a YAML file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not YAML, or a section or key that is not known.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no configuration at {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: sections {', '.join(SECTIONS)} are expected, not a {type(content).__name__}")
    refuse_unknown(content, set(SECTIONS), str(path))
    for name, section in content.items():
        refuse_unknown(section or {}, {f.name for f in fields(SECTIONS[name])}, f"{path}, section {name}")
    return {name: dict(section or {}) for name, section in content.items()}


def stored_config(run_dir: Path) -> dict[str, dict[str, Any]]:
    """The sections that an earlier command left in this run directory; empty where there are none."""
    path = run_dir / CONFIG_FILE
    return read_config(path) if path.is_file() else {}
