"""A configuration's fields hold what they are annotated with, whoever fills them: Python, YAML or the command line."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from memcirc.circuits.config import DiscoverConfig
from memcirc.config import wrong_type
from memcirc.corpus.config import PrepareConfig
from memcirc.demo.config import DemoConfig
from memcirc.memorization.config import ScoreConfig
from memcirc.options import build
from memcirc.pairs.config import PairsConfig
from memcirc.run.config import ModelConfig
from memcirc.studies.config import STUDIES
from memcirc.verification.config import VerifyConfig
from memcirc.work.config import Execution

STAGES = (PrepareConfig, ScoreConfig, PairsConfig, DiscoverConfig, VerifyConfig, ModelConfig, Execution, DemoConfig)
CONFIGS = (*STAGES, *(config for config, _ in STUDIES.values()))
WRONG: dict[Any, tuple[Any, ...]] = {
    int: ("3", 2.5, True, [3], 10**20),
    float: ("high", True, float("nan"), float("inf"), [0.5]),
    bool: ("no", 1, None),
    str: (3, True, ["x"], b"x"),
}


def unchecked(config: Any, **values: Any) -> Any:
    """A configuration with any values, as Python makes one where no types are checked on the way (as they are here)."""
    made = object.__new__(config)
    for f in fields(config):
        object.__setattr__(made, f.name, values.get(f.name, f.default))
    return made


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_a_value_of_another_type_is_refused_by_name(config: Any) -> None:
    needed = dict.fromkeys(("model_name", "path"), "given")
    for f in fields(config):
        for value in WRONG.get(f.type, ()):
            with pytest.raises(ValueError, match=rf"^{f.name} "):
                unchecked(config, **{**needed, f.name: value}).__post_init__()


FILES = {
    "pairs: {threshold: high}": "threshold 'high': accepted is a valid number",
    "pairs: {contrastive_batch_size: 2.5}": "contrastive_batch_size 2.5: accepted is a valid integer",
    "pairs: {use_divergence: maybe}": "use_divergence 'maybe': accepted is a valid boolean",
    "score: {mem_batch_size: [1]}": "mem_batch_size [1]: accepted is a valid string",
    "discover: {ig: true}": "ig True: accepted is a valid integer",
    "verify: {seed: 1e400}": "seed '1e400': accepted is a valid integer",
    "verify: 3": "section verify: a mapping is expected, not 3",
    "folder: 3": "folder 3 is no path",
    "\xff": "not YAML",
}
EACH = "import sys; from memcirc.cli import main; sys.exit(0 if {main(['run', p]) for p in sys.argv[1:]} == {2} else 1)"


def test_a_wrong_value_in_a_configuration_file_is_one_line(tmp_path: Path) -> None:
    """In a process of its own, in which no types are checked on the way."""
    paths = []
    for number, section in enumerate(FILES):
        paths.append(tmp_path / f"{number}.yaml")
        paths[-1].write_bytes(f"model: {{model_name: m}}\n{section}\n".encode("latin-1"))
    command = [sys.executable, "-c", EACH, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line, message in zip(done.stderr.splitlines(), FILES.values(), strict=True):
        assert message in line


def test_words_that_yaml_reads_as_numbers_or_truth_are_words() -> None:
    assert build(ScoreConfig, {"mem_batch_size": 64, "prefix_lengths": 16}).batch_size == 64
    assert build(VerifyConfig, {"reverse_clean_corrupt": True}).directions == (True,)
    assert wrong_type(1, float) == ""
