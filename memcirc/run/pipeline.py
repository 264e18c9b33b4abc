"""The stages of a run on its directory, from scored passages (:mod:`memcirc.run.scoring`) to the page.

windows -> score -> points -> per task: pairs -> discover -> verify -> report
"""

from dataclasses import asdict, replace
from pathlib import Path

from memcirc.artifacts import slug, write_json
from memcirc.attribution.scores import EdgeScores, load_scores
from memcirc.circuit import Circuit
from memcirc.circuits.discover import discover, n_pieces, scored_piece, statement
from memcirc.interop.mib import ScoredCircuit, save_circuit
from memcirc.interop.reading import load_circuit
from memcirc.interventions import MODES
from memcirc.origin import check_origin
from memcirc.pairs.file import load_pairs
from memcirc.pairs.make import configured_pairs
from memcirc.pairs.record import Pairs, TooFewPairs
from memcirc.report.page import write_report
from memcirc.run.reading import Run, write_absent
from memcirc.run.scoring import ScoringStages
from memcirc.run.stages import Made, Units
from memcirc.run.tasks import task_named
from memcirc.run.transfer import transfer_options, transfer_table
from memcirc.run.verifying import given_files, merged, verification_units
from memcirc.work.parts import Parts
from memcirc.work.progress import say


class Pipeline(ScoringStages):
    """One run directory with its resolved configuration; what it is made with: :class:`ScoringStages`."""

    def units(self, name: str) -> Units:
        """The work list of a stage that is done in units."""
        task, _, kind = name.rpartition("/")
        if kind.startswith("verify"):
            return verification_units(Run(self.run_dir, self.config), task, lambda: self.model)
        return self._edge_units(task) if task else super().units(name)

    def pairs(self, task: str) -> Path:
        """Contrastive pairs of a task: made from scores, read from a file, or one subset of another task's."""
        if "@" in task:
            return self._subset_pairs(task)
        if self.config.model.path:
            return self._given_pairs(task)
        scores, points = self.score(), self.points()
        config = self.config.of_task(task).pairs

        def make(folder: Path) -> Made:
            return self._save_pairs(folder, configured_pairs(self.model, *self.scored_passages(), config))

        return self.stage(f"{task}/pairs", {**self.identity, **asdict(config)}, [scores, points], make) / "pairs.json"

    def _given_pairs(self, task: str) -> Path:
        source = Path(self.config.located(self.config.model.path))

        def make(folder: Path) -> Made:
            pairs = load_pairs(source, self.model, self.config.prepare.bos)
            check_origin(self.model, pairs.header, f"pairs {source}")
            return self._save_pairs(folder, pairs)

        load_pairs_settings = {**self.identity, "path": self.config.model.path, "bos": self.config.prepare.bos}
        if not source.is_file():
            raise FileNotFoundError(f"no file of pairs at {source}")
        return self.stage(f"{task}/pairs", load_pairs_settings, [source], make) / "pairs.json"

    def _subset_pairs(self, task: str) -> Path:
        base, wanted = task.split("@", 1)
        source = self.pairs(base)

        def make(folder: Path) -> Made:
            pairs = load_pairs(source)
            items = tuple(pair for pair in pairs if slug(pair.subset) == wanted)
            return self._save_pairs(folder, replace(pairs, items=items))

        return self.stage(f"{task}/pairs", {"subset": wanted}, [source], make) / "pairs.json"

    def _save_pairs(self, folder: Path, pairs: Pairs) -> Made:
        pairs.save(folder / "pairs.json")
        write_json(folder / "dropped.json", dict(pairs.dropped))
        return [folder / "pairs.json", folder / "dropped.json"], f"{len(pairs)} pairs"

    def splits(self, task: str) -> tuple[Pairs, ...]:
        """Train, validation and test of a task's pairs."""
        return load_pairs(self.pairs(task)).split(seed=self.config.pairs.split_seed)

    def discover(self, task: str) -> Path:
        """The folder of a task's edge scores and its minimal circuit of each mode."""
        source, config = self.pairs(task), self.config.of_task(task).discover

        def merge(folder: Path, parts: Parts) -> Made:
            train, validation, _ = self.splits(task)
            found = discover(self.model, train, validation, config, pieces=parts.tables())
            found.scores.save(folder / "edge_scores.safetensors")
            outputs = [folder / "edge_scores.safetensors"]
            for mode, minimal in found.minimal.items():
                outputs.append(folder / self.config.circuit_name(mode))
                scored = ScoredCircuit(
                    found.scores.graph, minimal.circuit, found.scores.values, self.model.weights.d_model
                )
                save_circuit(outputs[-1], scored, statement(minimal, mode, config, validation))
            sizes = ", ".join(f"{mode} {minimal.n_edges} edges" for mode, minimal in found.minimal.items())
            return outputs, f"minimal circuits: {sizes}"

        settings = {**self.identity, **asdict(config), "split_seed": self.config.pairs.split_seed}
        return self.in_units(f"{task}/discover", settings, [source], merge)

    def _edge_units(self, task: str) -> Units:
        train, config = self.splits(task)[0], self.config.of_task(task).discover
        return Units(n_pieces(train, config), lambda unit: scored_piece(self.model, train, config, unit))

    def edge_scores(self, task: str) -> EdgeScores:
        return load_scores(self.discover(task) / "edge_scores.safetensors")

    def circuit(self, task: str, mode: str) -> Circuit:
        """The minimal circuit that discovery found for a mode."""
        return load_circuit(self.discover(task) / self.config.circuit_name(mode))[0]

    def verify(self, task: str, name: str = "verify") -> Path:
        """The file of what was measured of the circuits on held-out pairs, as configured: the run's own, or given
        scores, a given size, given pairs."""
        config, folder = self.config.of_task(task).verify, self.discover(task)
        circuits_found = [folder / self.config.circuit_name(mode) for mode in config.modes]
        inputs = [folder / "edge_scores.safetensors", *circuits_found, self.pairs(task), *given_files(self.config)]

        def merge(out: Path, parts: Parts) -> Made:
            result = merged(Run(self.run_dir, self.config), task, parts.tables())
            write_json(out / "verification.json", result.to_json())
            n_pairs = result.statement["n_pairs"]
            return [out / "verification.json"], f"{len(result.faithfulness)} measurements on {n_pairs} pairs"

        settings = {**self.identity, **asdict(config)}
        return self.in_units(f"{task}/{name}", settings, inputs, merge) / "verification.json"

    def transfer(self) -> Path:
        """The file of faithfulness of every finished task's circuits on every data set; in the full verification also
        between subsets."""
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
        return self.stage(name, {**self.identity, **settings}, inputs, make) / "transfer.json"

    def report(self) -> Path:
        """The page and its figures and tables, from the artifacts alone."""
        write_absent(self.run_dir, self.absent)
        return write_report(Run(self.run_dir, self.config).files(), self.run_dir / "report")

    def everything(self) -> Path:
        """All stages of all tasks, then the report. Tasks against a twin come last: they take longest, since no two
        pairs' runs have a beginning in common. While others are to come, each new task is on the page when it is done.
        A task for which there are too few pairs is reported as absent, as long as another one can be run."""
        tasks = self.config.model.tasks
        ordered = sorted(tasks, key=lambda name: task_named(name).needs_twin)
        for task in ordered:
            try:
                self.verify(task)
                self.finished.append(task)
            except TooFewPairs as reason:
                self.absent[task] = str(reason)
                say(f"{task}: left out, {reason}")
            if task != ordered[-1] and f"{task}/verify" in self.stages.seconds:
                say(f"page so far: {self.report()}")
        if not self.finished:
            raise TooFewPairs("; ".join(f"{task}: {reason}" for task, reason in self.absent.items()))
        self.finished.sort(key=tasks.index)
        self.transfer()
        return self.report()
