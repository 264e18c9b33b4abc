"""The stages of a run on its directory. Each looks up the artifacts before it, skips itself where it is done, and
leaves its own artifact and marker.

    windows -> score -> points -> per task: pairs -> discover -> verify -> report
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from memcirc.artifacts import Changed, Marker, StageFolder, file_hash, write_json
from memcirc.attribution.scores import EdgeScores, load_scores
from memcirc.circuit import Circuit
from memcirc.circuits.discover import discover, n_pieces, scored_piece, statement
from memcirc.corpus.preparing import prepare
from memcirc.corpus.sources import local_files, looks_local
from memcirc.corpus.windows import WindowsFile
from memcirc.interop.mib import ScoredCircuit, load_circuit, save_circuit
from memcirc.interventions import MODES
from memcirc.memorization.controls import prior_logprob
from memcirc.memorization.divergence import DivergencePoint, divergence_points
from memcirc.memorization.stage import marked, points_of, points_table, read_rows, score_windows, summary
from memcirc.models import Model, load_quietly, load_tokenizer, resolve_device, tokenizer_stamp, weights_stamp
from memcirc.pairs.file import load_pairs
from memcirc.pairs.make import configured_pairs
from memcirc.pairs.record import Pairs, TooFewPairs
from memcirc.pairs.scored import SCORE_COLUMN, low_rows, token_array
from memcirc.report.page import write_report
from memcirc.run.config import RunConfig
from memcirc.run.loading import run_model
from memcirc.run.reading import Run, marker_in_our_words, write_absent
from memcirc.run.stages import Made, Merge, Stage, Stages, Units
from memcirc.run.transfer import slug, transfer_options, transfer_table
from memcirc.run.verifying import given_files, verified
from memcirc.verification.origin import check_origin
from memcirc.work.config import Execution
from memcirc.work.executors import Make
from memcirc.work.parts import Parts
from memcirc.work.progress import say

POINT_FIELDS = ("threshold", "metric", "drop", "prior_prompts", "contrastive_batch_size")
DATA_FILE = "data file "
TASK_MODES = {"branch": "divergence", "memorization": "dataset"}


class Pipeline:
    """One run directory with its resolved configuration.

    Args:
        force: make stages anew even where they are done, or were made with another configuration.
        terse: no lines on stderr about stages that were done before.
        execution: who does the units.
    """

    def __init__(
        self,
        run_dir: Path,
        config: RunConfig,
        force: bool = False,
        terse: bool = False,
        execution: Execution = Execution(),  # noqa: B008 (frozen)
    ) -> None:
        self.run_dir, self.config = run_dir, config
        self.stages = Stages(run_dir, force, terse, execution)
        load_quietly()
        self.finished: list[str] = []
        self.absent: dict[str, str] = {}

    @cached_property
    def model(self) -> Model:
        """Loaded when the first stage needs it; a run of finished stages never does."""
        return run_model(self.config)

    @property
    def device(self) -> str:
        """Where the model runs, or would run."""
        return str(resolve_device(self.config.model.device))

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What every stage's marker says of the model."""
        name, dtype = self.config.model.model_name, self.config.model.dtype
        where = self.config.located(name)
        return {
            "model_name": name,
            "dtype": dtype,
            "weights": weights_stamp(where),
            "tokenizer_files": tokenizer_stamp(where),
        }

    def _stage(self, name: str, config: Mapping[str, Any], inputs: list[Path], make: Callable[[Path], Made]) -> Path:
        with self._absent_model_named():
            return self.stages.run(Stage(name, config, inputs, partial(marker_in_our_words, name)), make)

    def _in_units(self, name: str, config: Mapping[str, Any], inputs: list[Path], merge: Merge) -> Path:
        worker = partial(_worker, Path.cwd(), self.run_dir, self.config, name)
        with self._absent_model_named():
            stage = Stage(name, config, inputs, partial(marker_in_our_words, name))
            return self.stages.run_in_units(stage, partial(self.units, name), worker, merge)

    @contextmanager
    def _absent_model_named(self) -> Iterator[None]:
        """A stage made with a model folder that is gone is not one made with another configuration."""
        try:
            yield
        except Changed as change:
            if {"weights", "tokenizer_files"} & {*change.keys} and self._identity["weights"] is None:
                name, folder = self.config.model.model_name, self.config.folder
                raise FileNotFoundError(
                    f"the model folder {name!r} that this run was made with is not there (nor {folder / name})"
                ) from None
            raise

    def units(self, name: str) -> Units:
        """The work list of a stage that is done in units."""
        task, _, stage = name.rpartition("/")
        return (
            {"score": self._score_units, "points": self._point_units}[stage]() if not task else self._edge_units(task)
        )

    def windows(self) -> Path:
        """Windows of token ids, cut once."""

        def make(folder: Path) -> Made:
            config = replace(self.config.prepare, dataset=self._dataset)
            tokenizer = load_tokenizer(self.config.located(self.config.model.model_name))
            stats = prepare(config, tokenizer, folder / "windows.parquet")
            write_json(folder / "stats.json", asdict(stats))
            for remark in stats.passed_over:
                say(f"windows: {remark}")
            return [folder / "windows.parquet", folder / "stats.json"], f"{stats.distinct} distinct windows"

        name = self.config.model.model_name
        stamp = tokenizer_stamp(self.config.located(name))
        settings = {"tokenizer": name, "tokenizer_files": stamp, **asdict(self.config.prepare)}
        return self._stage("windows", {**settings, **self._corpus}, [], make) / "windows.parquet"

    @property
    def _dataset(self) -> str:
        return self.config.located(self.config.prepare.dataset)

    @cached_property
    def _corpus(self) -> dict[str, str]:
        """Hashes of a local corpus's files by name; where the corpus is gone, those with which windows were cut."""
        path = Path(self._dataset).expanduser()
        marker = StageFolder(self.run_dir / "windows").marker
        if marker.is_file() and looks_local(str(path)) and not (path.exists() or path.is_symlink()):
            say(f"windows: {path} is not there any more; whether it had changed is not known")
            try:
                was = Marker.read(marker).config
            except ValueError:
                was = {}
            return {key: digest for key, digest in was.items() if key.startswith(DATA_FILE)}
        found = local_files(self._dataset)
        files = () if found is None else found.files
        return {
            f"{DATA_FILE}{file.relative_to(path) if path.is_dir() else file.name}": file_hash(file) for file in files
        }

    def score(self) -> Path:
        """Memorization scores of all windows."""
        source, config = self.windows(), self.config.score

        def merge(folder: Path, parts: Parts) -> Made:
            outputs = [folder / "scores.parquet"]
            parts.merge(outputs[0])
            if config.json:
                outputs.append(folder / "scores.json")
                write_json(outputs[1], pq.read_table(outputs[0]).to_pylist())
            return outputs, summary(outputs[0])

        settings = {**self._identity, **asdict(config), "prompt_tokens": self.config.prepare.prompt_tokens}
        return self._in_units("score", settings, [source], merge) / "scores.parquet"

    def _score_units(self) -> Units:
        windows, size = WindowsFile(self.windows()), self.config.score.unit_windows
        prepare = self.config.prepare

        def make(unit: int) -> pa.Table:
            rows = windows.rows(unit * size, min((unit + 1) * size, len(windows)))
            return score_windows(
                self.model, rows.table, rows.ids, prepare.prompt_tokens, self.config.score, prepare.bos
            )

        return Units(math.ceil(len(windows) / size), make)

    def points(self) -> Path:
        """Divergence points of the memorized windows, and how likely their completions are anyway."""
        source, config = self.score(), self.config.pairs

        def merge(folder: Path, parts: Parts) -> Made:
            parts.merge(folder / "points.parquet")
            lengths = pq.read_table(folder / "points.parquet", columns=["length"])["length"]
            diverging = len(lengths) - lengths.null_count
            return [folder / "points.parquet"], f"{diverging} of {len(lengths)} memorized windows diverge"

        settings = {name: getattr(config, name) for name in POINT_FIELDS}
        settings |= {**self._identity, "unit_windows": self.config.score.unit_windows}
        return self._in_units("points", settings, [source], merge) / "points.parquet"

    def _point_units(self) -> Units:
        source, config, size = self.score(), self.config.pairs, self.config.score.unit_windows
        n_prompt, n_completion = self.config.prepare.prompt_tokens, self.config.prepare.generation_tokens
        memorized = np.flatnonzero(self._passage_scores() >= config.threshold)

        @cache
        def prompts() -> pa.Table:
            n_rows = pq.read_metadata(source).num_rows
            drawn = np.random.default_rng(0).choice(n_rows, min(config.prior_prompts, n_rows), replace=False)
            return read_rows(source, marked(n_rows, drawn))

        def make(unit: int) -> pa.Table:
            rows = memorized[unit * size : (unit + 1) * size]
            table = read_rows(source, marked(pq.read_metadata(source).num_rows, rows))
            if not len(table):
                return points_table([], [], np.empty(0))
            tokens, others = token_array(table), prompts()
            found = divergence_points(
                self.model, tokens, n_prompt, n_completion, config.metric, config.drop, config.contrastive_batch_size
            )
            unrelated = np.array(table["doc_id"].to_pylist())[:, None] != np.array(others["doc_id"].to_pylist())
            prior = prior_logprob(
                self.model, tokens, token_array(others)[:, :n_prompt], unrelated, config.contrastive_batch_size
            )
            return points_table(rows.tolist(), found, prior)

        return Units(max(1, math.ceil(len(memorized) / size)), make)

    def _passage_scores(self) -> np.ndarray:
        """float64 [windows]: the score that decides what is memorized.

        Raises:
            ValueError: the windows were scored without it.
        """
        source, name = self.score(), SCORE_COLUMN[self.config.pairs.metric]
        if name not in pq.read_schema(source).names:
            raise ValueError(
                f"level {self.config.score.level!r} gives no {name}, which pairs need; score with --level full"
            )
        return pq.read_table(source, columns=[name])[name].to_numpy()

    def _scored_passages(self) -> tuple[pa.Table, list[DivergencePoint | None]]:
        """What pairs are made of: the memorized passages and the candidates of low score, with their points."""
        config, scores, source = self.config.pairs, self._passage_scores(), self.points()
        keep = scores >= config.threshold
        keep[low_rows(scores, config)] = True
        table, found = read_rows(self.score(), keep), pq.read_table(source)
        points, rows = points_of(found), np.flatnonzero(keep).tolist()
        prior = dict(zip(found["row"].to_pylist(), found["prior_logprob"].to_pylist(), strict=True))
        table = table.append_column("prior_logprob", pa.array([prior.get(row) for row in rows], pa.float64()))
        return table, [points.get(row) for row in rows]

    def pairs(self, task: str) -> Path:
        """Contrastive pairs of a task: made from scores, read from a file, or one subset of another task's."""
        if "@" in task:
            return self._subset_pairs(task)
        if self.config.model.path:
            return self._given_pairs(task)
        scores, points = self.score(), self.points()
        config = replace(self.config.pairs, contrastive_mode=TASK_MODES[task])

        def make(folder: Path) -> Made:
            return self._save_pairs(folder, configured_pairs(self.model, *self._scored_passages(), config))

        return self._stage(f"{task}/pairs", {**self._identity, **asdict(config)}, [scores, points], make) / "pairs.json"

    def _given_pairs(self, task: str) -> Path:
        source = Path(self.config.located(self.config.model.path))

        def make(folder: Path) -> Made:
            pairs = load_pairs(source, self.model, self.config.prepare.bos)
            check_origin(self.model, pairs.header, f"pairs {source}")
            return self._save_pairs(folder, pairs)

        load_pairs_settings = {**self._identity, "path": self.config.model.path, "bos": self.config.prepare.bos}
        if not source.is_file():
            raise FileNotFoundError(f"no file of pairs at {source}")
        return self._stage(f"{task}/pairs", load_pairs_settings, [source], make) / "pairs.json"

    def _subset_pairs(self, task: str) -> Path:
        base, wanted = task.split("@", 1)
        source = self.pairs(base)

        def make(folder: Path) -> Made:
            pairs = load_pairs(source)
            items = tuple(pair for pair in pairs if slug(pair.subset) == wanted)
            return self._save_pairs(folder, replace(pairs, items=items))

        return self._stage(f"{task}/pairs", {"subset": wanted}, [source], make) / "pairs.json"

    def _save_pairs(self, folder: Path, pairs: Pairs) -> Made:
        pairs.save(folder / "pairs.json")
        write_json(folder / "dropped.json", dict(pairs.dropped))
        return [folder / "pairs.json", folder / "dropped.json"], f"{len(pairs)} pairs"

    def splits(self, task: str) -> tuple[Pairs, ...]:
        """Train, validation and test of a task's pairs."""
        return load_pairs(self.pairs(task)).split(seed=self.config.pairs.split_seed)

    def discover(self, task: str) -> Path:
        """Edge scores and the minimal circuit of each mode."""
        source, config = self.pairs(task), self.config.discover

        def merge(folder: Path, parts: Parts) -> Made:
            train, validation, _ = self.splits(task)
            found = discover(self.model, train, validation, config, pieces=parts.tables())
            found.scores.save(folder / "edge_scores.safetensors")
            outputs = [folder / "edge_scores.safetensors"]
            for mode, minimal in found.minimal.items():
                outputs.append(folder / self.config.circuit_name(mode))
                scored = ScoredCircuit(
                    found.scores.graph, minimal.circuit, found.scores.values, self.model.hooked.cfg.d_model
                )
                save_circuit(outputs[-1], scored, statement(minimal, mode, config, validation))
            sizes = ", ".join(f"{mode} {minimal.n_edges} edges" for mode, minimal in found.minimal.items())
            return outputs, f"minimal circuits: {sizes}"

        settings = {**self._identity, **asdict(config), "split_seed": self.config.pairs.split_seed}
        return self._in_units(f"{task}/discover", settings, [source], merge)

    def _edge_units(self, task: str) -> Units:
        train, config = self.splits(task)[0], self.config.discover
        return Units(n_pieces(train, config), lambda unit: scored_piece(self.model, train, config, unit))

    def edge_scores(self, task: str) -> EdgeScores:
        return load_scores(self.discover(task) / "edge_scores.safetensors")

    def circuit(self, task: str, mode: str) -> Circuit:
        """The minimal circuit that discovery found for a mode."""
        return load_circuit(self.discover(task) / self.config.circuit_name(mode))[0]

    def verify(self, task: str, name: str = "verify") -> Path:
        """The circuits on held-out pairs, as configured: the run's own, or given scores, a given size, given pairs."""
        config, folder = self.config.verify, self.discover(task)
        circuits_found = [folder / self.config.circuit_name(mode) for mode in config.modes]
        inputs = [folder / "edge_scores.safetensors", *circuits_found, self.pairs(task), *given_files(self.config)]

        def make(out: Path) -> Made:
            result = verified(Run(self.run_dir, self.config), task, self.model)
            write_json(out / "verification.json", result.to_json())
            n_pairs = result.statement["n_pairs"]
            return [out / "verification.json"], f"{len(result.faithfulness)} measurements on {n_pairs} pairs"

        return self._stage(f"{task}/{name}", {**self._identity, **asdict(config)}, inputs, make) / "verification.json"

    def transfer(self) -> Path:
        """Every finished task's circuits on every data set; in the full verification also between subsets."""
        config, tasks = self.config.verify, list(self.finished)
        full = config.checks == "full"
        inputs = [self.discover(task) / self.config.circuit_name(mode) for task in tasks for mode in MODES]
        settings = {**transfer_options(self.config), "tasks": tasks}
        inputs += [self.pairs(task) for task in tasks]

        def make(folder: Path) -> Made:
            content = transfer_table(self, tasks, full)
            write_json(folder / "transfer.json", content)
            return [folder / "transfer.json"], f"{len(content['cells'])} cells"

        name = "transfer-full" if full else "transfer"
        return self._stage(name, {**self._identity, **settings}, inputs, make) / "transfer.json"

    def report(self) -> Path:
        """The page and its figures and tables, from the artifacts alone."""
        write_absent(self.run_dir, self.absent)
        return write_report(Run(self.run_dir, self.config).files(), self.run_dir / "report")

    def everything(self) -> Path:
        """All stages of all tasks, then the report. A task for which there are too few pairs is reported as absent, as
        long as another one can be run."""
        for task in self.config.model.tasks:
            try:
                self.verify(task)
                self.finished.append(task)
            except TooFewPairs as reason:
                self.absent[task] = str(reason)
                say(f"{task}: left out, {reason}")
        if not self.finished:
            raise TooFewPairs("; ".join(f"{task}: {reason}" for task, reason in self.absent.items()))
        self.transfer()
        return self.report()


def _worker(folder: Path, run_dir: Path, config: RunConfig, name: str) -> Make:
    """What makes a stage's units in a process that has just begun, in the folder where the command was given."""
    os.chdir(folder)
    return Pipeline(run_dir, config, terse=True).units(name).make
