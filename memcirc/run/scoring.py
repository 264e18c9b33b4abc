"""The stages of a run up to scored passages: windows -> score -> points. Each looks up the artifacts before it, skips
itself where it is done, and leaves its own artifact and marker."""

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
from memcirc.corpus.preparing import prepare
from memcirc.corpus.sources import local_files, looks_local
from memcirc.corpus.windows import WindowsFile
from memcirc.devices import resolve_device
from memcirc.hub import snapshot
from memcirc.memorization.controls import prior_logprob
from memcirc.memorization.divergence import DivergencePoint, divergence_points
from memcirc.memorization.stage import marked, points_of, points_table, read_rows, score_windows, summary
from memcirc.models import Model
from memcirc.pairs.scored import SCORE_COLUMN, low_rows, token_array
from memcirc.pretrained import load_quietly, weights_stamp
from memcirc.run.config import RunConfig
from memcirc.run.loading import run_model
from memcirc.run.reading import marker_in_our_words
from memcirc.run.stages import Made, Merge, Stage, Stages, Units
from memcirc.tokenizers import load_tokenizer, tokenizer_stamp
from memcirc.work.config import Execution
from memcirc.work.parts import Make, Parts
from memcirc.work.progress import say

POINT_FIELDS = ("threshold", "metric", "drop", "prior_prompts", "contrastive_batch_size")
DATA_FILE = "data file "


class ScoringStages:
    """One run directory with its resolved configuration, up to scored passages.

    Args:
        force: make stages anew even where they are done, or were made with another configuration.
        terse: no lines on stderr about stages that were done before.
        execution: who does the units.

    Attributes:
        finished: tasks that this process has verified; absent: why it has left others out.
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
        """The model, loaded when the first stage needs it: never where all stages are finished."""
        return run_model(self.config)

    @property
    def device(self) -> str:
        """Name of the device on which the model runs, whether or not it is loaded."""
        return str(resolve_device(self.config.model.device))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What every stage's marker says of the model, and of its twin where it has one."""
        where = self.config.located(self.config.model.model_name)
        own = {
            **self.config.named_model,
            "weights": weights_stamp(where),
            "tokenizer_files": tokenizer_stamp(where),
        }
        if not self.config.model.has_twin:
            return own
        return own | {"twin_weights": weights_stamp(self.config.located(self.config.twin[0]))}

    def stage(self, name: str, config: Mapping[str, Any], inputs: list[Path], make: Callable[[Path], Made]) -> Path:
        with self._absent_model_named():
            return self.stages.run(Stage(name, config, inputs, partial(marker_in_our_words, name)), make)

    def in_units(self, name: str, config: Mapping[str, Any], inputs: list[Path], merge: Merge) -> Path:
        worker = partial(_worker, type(self), Path.cwd(), self.run_dir, self.config, name)
        with self._absent_model_named():
            stage = Stage(name, config, inputs, partial(marker_in_our_words, name))
            return self.stages.run_in_units(stage, partial(self.units, name), worker, merge)

    @contextmanager
    def _absent_model_named(self) -> Iterator[None]:
        """Raises FileNotFoundError in place of Changed where the model's folder is gone, which is why a stage looks
        changed."""
        try:
            yield
        except Changed as change:
            if {"weights", "tokenizer_files"} & {*change.keys} and self.identity["weights"] is None:
                name, folder = self.config.model.model_name, self.config.folder
                raise FileNotFoundError(
                    f"the model folder {name!r} that this run was made with is not there (nor {folder / name})"
                ) from None
            raise

    def units(self, name: str) -> Units:
        """The work list of a stage that is done in units."""
        return {"score": self._score_units, "points": self._point_units}[name]()

    def windows(self) -> Path:
        """The file of windows of token ids."""

        def make(folder: Path) -> Made:
            config = replace(self.config.prepare, dataset=self._dataset)
            tokenizer = load_tokenizer(self._tokenizer_source)
            stats = prepare(config, tokenizer, folder / "windows.parquet")
            write_json(folder / "stats.json", asdict(stats))
            for remark in stats.passed_over:
                say(f"windows: {remark}")
            return [folder / "windows.parquet", folder / "stats.json"], f"{stats.distinct} distinct windows"

        name = self.config.model.model_name
        stamp = tokenizer_stamp(self.config.located(name))
        settings = {"tokenizer": name, "tokenizer_files": stamp, **asdict(self.config.prepare)}
        return self.stage("windows", {**settings, **self.corpus}, [], make) / "windows.parquet"

    @property
    def _tokenizer_source(self) -> str:
        settings = self.config.model
        where = self.config.located(settings.model_name)
        return str(snapshot(where, settings.revision)) if settings.revision else where

    @property
    def _dataset(self) -> str:
        return self.config.located(self.config.prepare.dataset)

    @cached_property
    def corpus(self) -> dict[str, str]:
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
        """The file of the memorization scores of all windows."""
        source, config = self.windows(), self.config.score

        def merge(folder: Path, parts: Parts) -> Made:
            outputs = [folder / "scores.parquet"]
            parts.merge(outputs[0])
            if config.json:
                outputs.append(folder / "scores.json")
                write_json(outputs[1], pq.read_table(outputs[0]).to_pylist())
            return outputs, summary(outputs[0])

        settings = {**self.identity, **asdict(config), "prompt_tokens": self.config.prepare.prompt_tokens}
        return self.in_units("score", settings, [source], merge) / "scores.parquet"

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
        """The file of the memorized windows' divergence points, with the log-probability of each completion behind
        other prompts."""
        source, config = self.score(), self.config.pairs

        def merge(folder: Path, parts: Parts) -> Made:
            parts.merge(folder / "points.parquet")
            lengths = pq.read_table(folder / "points.parquet", columns=["length"])["length"]
            diverging = len(lengths) - lengths.null_count
            return [folder / "points.parquet"], f"{diverging} of {len(lengths)} memorized windows diverge"

        settings = {name: getattr(config, name) for name in POINT_FIELDS}
        settings |= {**self.identity, "unit_windows": self.config.score.unit_windows}
        return self.in_units("points", settings, [source], merge) / "points.parquet"

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

    def scored_passages(self) -> tuple[pa.Table, list[DivergencePoint | None]]:
        """What pairs are made of: the memorized passages and the candidates of low score, with their points."""
        config, scores, source = self.config.pairs, self._passage_scores(), self.points()
        keep, low = scores >= config.threshold, low_rows(scores, config)
        keep[low if low.size else scores.argmin()] = True  # the lowest is what is told where none is low enough
        table, found = read_rows(self.score(), keep), pq.read_table(source)
        points, rows = points_of(found), np.flatnonzero(keep).tolist()
        prior = dict(zip(found["row"].to_pylist(), found["prior_logprob"].to_pylist(), strict=True))
        table = table.append_column("prior_logprob", pa.array([prior.get(row) for row in rows], pa.float64()))
        return table, [points.get(row) for row in rows]


def _worker(stages: type[ScoringStages], folder: Path, run_dir: Path, config: RunConfig, name: str) -> Make:
    """What makes a stage's units in a process that has just begun, in the folder where the command was given."""
    os.chdir(folder)
    return stages(run_dir, config, terse=True).units(name).make
