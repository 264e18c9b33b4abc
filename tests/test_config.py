"""A configuration's fields hold what they are annotated with, whoever fills them: Python, YAML or the command line."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from memcirc.circuits.config import DiscoverConfig
from memcirc.cli import parser
from memcirc.config import wrong_type
from memcirc.corpus.config import PrepareConfig
from memcirc.demo.config import DemoConfig
from memcirc.memorization.config import ScoreConfig
from memcirc.options import build
from memcirc.pairs.config import PairsConfig
from memcirc.run.config import ModelConfig, resolve, sections_of, stored_config
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
    "discover: {ig: true}": "steps True: accepted is a valid integer",
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


OLD = """
model: {model_name: m}
prepare: {dataset: d}
discover:
  ig: 7
  grad_function: prob
  loss_function: logit
  optimize_metric: neg_logit_diff
  target_performance: 0.5
  ablation_type: TOKENWISE_MEAN_CLEAN
  patch_type: EDGE_PATCH
  reverse_clean_corrupt: true
  eap_batch_size: 3
  attribution_seed: 2
verify:
  prune_scores_path: s
  edge_count: 4
  dataset_path: p
  dataset_size: 5
  optimize_metric: correct
  ablation_type: ZERO
  patch_type: TREE_PATCH
  reverse_clean_corrupt: yes
  random_circuits: 20
  resamples: 30
  passages: 6
"""
DISCOVER = DiscoverConfig(
    steps=7, objective="answer_prob", metric="neg_logit_diff", target=0.5, ablation="mean-clean", mode="edge",
    reverse=True, batch_size=3, seed=2,
)  # fmt: skip
VERIFY = VerifyConfig(
    scores_path="s", n_edges=4, pairs_path="p", n_pairs=5, metric="correct", ablation="zero", mode="tree",
    reverse="yes", n_random=20, n_resamples=30, n_passages=6,
)  # fmt: skip


def test_a_configuration_in_the_studys_words_is_read_and_kept_in_the_librarys(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(OLD, encoding="utf-8")
    config = resolve(stored_config(tmp_path), {})
    assert (config.discover, config.verify) == (DISCOVER, VERIFY)
    config.save(tmp_path)
    kept = (tmp_path / "config.yaml").read_text(encoding="utf-8")
    assert "steps: 7" in kept
    assert not re.search("ig:|optimize_metric|patch_type", kept)
    assert resolve(stored_config(tmp_path), {}) == config


@pytest.mark.parametrize("section", ["discover", "verify"])
def test_options_in_the_studys_words_are_the_librarys(section: str) -> None:
    """Each alone, on the command that has it, with the words of AutoCircuit."""
    said = yaml.safe_load(OLD)[section]
    words = [f"--{name}={value}" for name, value in said.items() if value is not True]
    words += ["--reverse_clean_corrupt", *(["yes"] if section == "verify" else [])]
    options = vars(parser().parse_args([section, *words]))
    config = resolve({"model": {"model_name": "m"}, "prepare": {"dataset": "d"}}, options, sections_of(section))
    assert getattr(config, section) == (DISCOVER if section == "discover" else VERIFY)


def test_one_of_the_studys_two_functions_keeps_the_other() -> None:
    stored = {"model": {"model_name": "m"}, "prepare": {"dataset": "d"}, "discover": {"objective": "prob_diff"}}
    assert resolve(stored, {"loss_function": "logit"}).discover.objective == "answer_prob"
    assert resolve(stored, {"grad_function": "logprob"}).discover.objective == "logprob_diff"
    with pytest.raises(ValueError, match="loss_function 'l2' is not known; accepted: logit_diff, avg_diff"):
        resolve(stored, {"loss_function": "l2"})
    with pytest.raises(ValueError, match="objective 'logit_diff' with loss_function; leave one out"):
        resolve(stored, {"loss_function": "logit", "objective": "logit_diff"})


def test_a_setting_in_two_spellings_is_refused() -> None:
    with pytest.raises(ValueError, match="ig 4: steps is said in another spelling, too; leave one out"):
        build(DiscoverConfig, {"steps": 3, "ig": 4})
    assert build(DiscoverConfig, {"ig": 4}, {"steps": 3}).steps == 3
