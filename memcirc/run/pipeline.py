"""The stages of a run on its directory. Each looks up the artifacts before it, skips itself where it is done, and
leaves its own artifact and marker.

    windows -> score -> points -> per task: pairs -> discover -> verify -> report
"""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm
from transformers.utils.logging import disable_progress_bar

from memcirc.artifacts import StageFolder, atomic, write_json
from memcirc.attribution.scores import EdgeScores, load_scores
from memcirc.circuit import Circuit
from memcirc.circuits.discover import discover, statement
from memcirc.corpus.preparing import prepare
from memcirc.corpus.windows import read_windows
from memcirc.graph import graph_of
from memcirc.interop.mib import load_circuit, save_circuit
from memcirc.memorization.divergence import divergence_points
from memcirc.memorization.stage import points_of, points_table, score_windows
from memcirc.models import Model, load_model, load_tokenizer, resolve_device, weights_stamp
from memcirc.pairs.make import SCORE_COLUMN, make_pairs
from memcirc.pairs.record import Pairs, TooFewPairs, joined, load_pairs
from memcirc.report.page import write_report
from memcirc.run.config import RunConfig
from memcirc.verification.stage import verify_circuits

TASK_MODES = {"branch": "divergence", "memorization": "dataset"}


class Pipeline:
    """One run directory with its resolved configuration.

    Args:
        force: make stages anew even where they are done, or were made with another configuration.
        terse: no lines on stderr about stages that were done before.
    """

    def __init__(self, run_dir: Path, config: RunConfig, force: bool = False, terse: bool = False) -> None:
        self.run_dir, self.config, self.force, self.terse = run_dir, config, force, terse
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are not the user's to read
        self.seconds: dict[str, float] = {}
        self.finished: list[str] = []
        self.absent: dict[str, str] = {}
        self._settled: set[str] = set()

    @cached_property
    def model(self) -> Model:
        """Loaded when the first stage needs it; a run of finished stages never does."""
        settings = self.config.model
        _say(f"loading {settings.model_name}")
        if not sys.stderr.isatty():
            disable_progress_bar()
        return load_model(settings.model_name, settings.device, settings.dtype)

    @property
    def device(self) -> str:
        """Where the model runs, or would run."""
        return str(resolve_device(self.config.model.device))

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What every stage's marker says of the model."""
        name, dtype = self.config.model.model_name, self.config.model.dtype
        return {"model_name": name, "dtype": dtype, "weights": weights_stamp(name)}

    def _stage(
        self, name: str, config: Mapping[str, Any], inputs: list[Path], make: Callable[[Path], tuple[list[Path], str]]
    ) -> Path:
        """Run ``make`` in the stage's folder unless it is done; ``make`` gives its outputs and a line about them."""
        folder = StageFolder(self.run_dir / name)
        if name in self._settled:
            return folder.path
        self._settled.add(name)
        if not self.force and folder.is_done(config, inputs):
            if not self.terse:
                _say(f"{name}: done before")
            return folder.path
        folder.start()
        start = time.perf_counter()
        outputs, line = make(folder.path)
        self.seconds[name] = time.perf_counter() - start
        folder.finish(config, inputs, outputs, self.seconds[name])
        _say(f"{name}: {line} ({self.seconds[name]:.1f} s)")
        return folder.path

    def windows(self) -> Path:
        """Windows of token ids, cut once."""

        def make(folder: Path) -> tuple[list[Path], str]:
            stats = prepare(
                self.config.prepare, load_tokenizer(self.config.model.model_name), folder / "windows.parquet"
            )
            write_json(folder / "stats.json", asdict(stats))
            return [folder / "windows.parquet", folder / "stats.json"], f"{stats.distinct} distinct windows"

        name = {"tokenizer": self.config.model.model_name}
        return self._stage("windows", {**name, **asdict(self.config.prepare)}, [], make) / "windows.parquet"

    def score(self) -> Path:
        """Memorization scores of all windows."""
        source, config = self.windows(), self.config.score
        prompt_tokens = self.config.prepare.prompt_tokens

        def make(folder: Path) -> tuple[list[Path], str]:
            windows = read_windows(source)
            table = score_windows(
                self.model,
                windows.table,
                windows.ids,
                prompt_tokens,
                config.batch_size,
                self.config.prepare.bos,
                lambda batches: tqdm(batches, desc="score", unit="batch", disable=None, leave=False),
            )
            outputs = [folder / "scores.parquet"]
            with atomic(outputs[0]) as partial:
                pq.write_table(table, partial)
            if config.json:
                outputs.append(folder / "scores.json")
                write_json(outputs[1], table.to_pylist())
            exact = sum(table["exact"].to_pylist())
            return outputs, f"{exact} of {len(table)} windows are recited exactly"

        settings = {**self._identity, **asdict(config), "prompt_tokens": prompt_tokens}
        return self._stage("score", settings, [source], make) / "scores.parquet"

    def points(self) -> Path:
        """Divergence points of the memorized windows."""
        source, config = self.score(), self.config.pairs
        prompt_tokens, generation_tokens = self.config.prepare.prompt_tokens, self.config.prepare.generation_tokens

        def make(folder: Path) -> tuple[list[Path], str]:
            table = pq.read_table(source)
            memorized = [
                i for i, s in enumerate(table[SCORE_COLUMN[config.metric]].to_pylist()) if s >= config.threshold
            ]
            found = divergence_points(
                self.model,
                table["tokens"].take(pa.array(memorized, pa.int64())).to_pylist(),
                prompt_tokens,
                generation_tokens,
                config.metric,
                config.drop,
                config.contrastive_batch_size,
            )
            points = dict(zip(memorized, found, strict=True))
            with atomic(folder / "points.parquet") as partial:
                pq.write_table(points_table([points.get(i) for i in range(len(table))]), partial)
            diverging = sum(point is not None for point in found)
            return [folder / "points.parquet"], f"{diverging} of {len(memorized)} memorized windows diverge"

        settings = {**self._identity, "threshold": config.threshold, "metric": config.metric, "drop": config.drop}
        return self._stage("points", settings, [source], make) / "points.parquet"

    def pairs(self, task: str) -> Path:
        """Contrastive pairs of a task: made from scores, read from a file, or one subset of another task's."""
        if "@" in task:
            return self._subset_pairs(task)
        if self.config.model.path:
            return self._given_pairs(task)
        scores, points = self.score(), self.points()
        config = replace(self.config.pairs, contrastive_mode=TASK_MODES[task])

        def make(folder: Path) -> tuple[list[Path], str]:
            options = asdict(config)
            mode = options.pop("contrastive_mode")
            divergences = points_of(pq.read_table(points))
            return self._save_pairs(folder, make_pairs(self.model, pq.read_table(scores), divergences, mode, **options))

        return self._stage(f"{task}/pairs", {**self._identity, **asdict(config)}, [scores, points], make) / "pairs.json"

    def _given_pairs(self, task: str) -> Path:
        source = Path(self.config.model.path)

        def make(folder: Path) -> tuple[list[Path], str]:
            return self._save_pairs(folder, load_pairs(source, self.model, self.config.prepare.bos))

        load_pairs_settings = {**self._identity, "path": str(source), "bos": self.config.prepare.bos}
        if not source.is_file():
            raise FileNotFoundError(f"no file of pairs at {source}")
        return self._stage(f"{task}/pairs", load_pairs_settings, [source], make) / "pairs.json"

    def _subset_pairs(self, task: str) -> Path:
        base, wanted = task.split("@", 1)
        source = self.pairs(base)

        def make(folder: Path) -> tuple[list[Path], str]:
            pairs = load_pairs(source)
            items = tuple(pair for pair in pairs if slug(pair.subset) == wanted)
            return self._save_pairs(folder, replace(pairs, items=items))

        return self._stage(f"{task}/pairs", {"subset": wanted}, [source], make) / "pairs.json"

    def _save_pairs(self, folder: Path, pairs: Pairs) -> tuple[list[Path], str]:
        pairs.save(folder / "pairs.json")
        write_json(folder / "dropped.json", dict(pairs.dropped))
        return [folder / "pairs.json", folder / "dropped.json"], f"{len(pairs)} pairs"

    def splits(self, task: str) -> tuple[Pairs, ...]:
        """Train, validation and test of a task's pairs."""
        return load_pairs(self.pairs(task)).split(seed=self.config.pairs.split_seed)

    def discover(self, task: str) -> Path:
        """Edge scores and the minimal circuit of each mode."""
        source, config = self.pairs(task), self.config.discover

        def make(folder: Path) -> tuple[list[Path], str]:
            train, validation, _ = self.splits(task)
            found = discover(self.model, train, validation, config)
            found.scores.save(folder / "edge_scores.safetensors")
            outputs = [folder / "edge_scores.safetensors"]
            for mode, minimal in found.minimal.items():
                outputs.append(folder / self._circuit_name(mode))
                save_circuit(
                    outputs[-1],
                    graph_of(self.model),
                    minimal.circuit,
                    found.scores.as_dict(),
                    self.model.hooked.cfg.d_model,
                    statement(minimal, mode, config, validation),
                )
            sizes = ", ".join(f"{mode} {minimal.n_edges} edges" for mode, minimal in found.minimal.items())
            return outputs, f"minimal circuits: {sizes}"

        settings = {**self._identity, **asdict(config), "split_seed": self.config.pairs.split_seed}
        return self._stage(f"{task}/discover", settings, [source], make)

    def _circuit_name(self, mode: str) -> str:
        return "circuit.json" if mode == self.config.discover.mode else f"circuit_{mode}.json"

    def edge_scores(self, task: str) -> EdgeScores:
        return load_scores(self.discover(task) / "edge_scores.safetensors")

    def circuit(self, task: str, mode: str) -> Circuit:
        """The minimal circuit that discovery found for a mode."""
        return load_circuit(self.discover(task) / self._circuit_name(mode))[0]

    def verify(self, task: str, name: str = "verify") -> Path:
        """The circuits on held-out pairs, as configured: the run's own, or given scores, a given size, given pairs."""
        config, folder = self.config.verify, self.discover(task)
        given = [Path(path) for path in (config.prune_scores_path, config.dataset_path) if path]
        missing = [path for path in given if not path.is_file()]
        if missing:
            raise FileNotFoundError(f"no file at {missing[0]}")
        inputs = [folder / "edge_scores.safetensors", *(folder / self._circuit_name(m) for m in config.modes), *given]

        def make(out: Path) -> tuple[list[Path], str]:
            *others, pairs = self.splits(task)
            if config.dataset_path:
                pairs = load_pairs(config.dataset_path, self.model)
            reference = joined(*others, pairs)
            scores = load_scores(config.prune_scores_path) if config.prune_scores_path else self.edge_scores(task)
            circuits = {
                mode: scores.top(config.edge_count) if config.edge_count else self.circuit(task, mode)
                for mode in config.modes
            }
            result = verify_circuits(self.model, pairs[: config.dataset_size], reference, scores, circuits, config)
            write_json(out / "verification.json", result.to_json())
            return [out / "verification.json"], f"{len(result.faithfulness)} measurements on {len(pairs)} pairs"

        return self._stage(f"{task}/{name}", {**self._identity, **asdict(config)}, inputs, make) / "verification.json"

    def report(self) -> Path:
        """The page and its figures and tables, from the artifacts alone."""
        return write_report(self.run_dir, self.finished, self.absent, asdict(self.config))

    def everything(self) -> Path:
        """All stages of all tasks, then the report. A task for which there are too few pairs is reported as absent, as
        long as another one can be run."""
        for task in self.config.model.tasks:
            try:
                self.verify(task)
                self.finished.append(task)
            except TooFewPairs as reason:
                self.absent[task] = str(reason)
                _say(f"{task}: left out, {reason}")
        if not self.finished:
            raise TooFewPairs("; ".join(f"{task}: {reason}" for task, reason in self.absent.items()))
        return self.report()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def slug(subset: str) -> str:
    """A subset's name as part of a folder's name: ``Wikipedia (en)`` -> ``wikipedia_en``."""
    return "_".join("".join(c if c.isalnum() else " " for c in subset.lower()).split())
