"""``docs/architecture.md`` says what a change touches: here each is made with a toy, and the house finds it."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from memcirc.artifacts import write_text
from memcirc.attribution.attribute import attribute
from memcirc.attribution.method import Method
from memcirc.attribution.methods import METHODS
from memcirc.circuit import Circuit
from memcirc.circuits.runner import circuit_runner
from memcirc.cli import MISTAKE, main
from memcirc.engine import Request
from memcirc.engines import ENGINES
from memcirc.graph import Graph, GraphShape, graph_of
from memcirc.interop.export import FORMATS, export, written_as
from memcirc.interop.mib import ScoredCircuit
from memcirc.interventions import ABLATIONS, Ablation
from memcirc.metrics import METRICS, POSITION, TABLE, Labels, Metric
from memcirc.patching import engine, forward, runs
from memcirc.patching.patches import Patch
from memcirc.patching.sites import KINDS, Kind, Site
from memcirc.patching.sweep import patch_sweep
from memcirc.run.config import STAGES, StageCommand
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.stages import Made
from tests.models import random_pairs, small_model

ROOT = Path(__file__).parents[1]


def module(monkeypatch: pytest.MonkeyPatch, name: str, **contents: object) -> None:
    made = ModuleType(name)
    vars(made).update(contents)
    monkeypatch.setitem(sys.modules, name, made)


def test_an_attribution_method_is_a_module_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(request: Request) -> torch.Tensor:
        return torch.full((graph_of(request.model).n_edges,), float(request.steps))

    toy = Method(ones, engines=("native",), defined_for=lambda ablation: not ablation.means_of)
    module(monkeypatch, "memcirc.attribution.toy", METHOD=toy)
    monkeypatch.setitem(METHODS, "toy", "toy:METHOD")
    model, pairs = small_model("gpt2"), random_pairs(2)
    scores = attribute(model, pairs, "toy", steps=3)
    assert (scores.values == 3).all()
    assert scores.origin["method"] == "toy"
    with pytest.raises(ValueError, match="method 'toy' is not defined for ablation 'mean-all'"):
        attribute(model, pairs, "toy", ablation="mean-all")
    with pytest.raises(ValueError, match="method 'toy' is computed by engine 'native' alone"):
        attribute(model, pairs, "toy", engine="auto-circuit")


def test_a_metric_is_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    def entropy(logits: torch.Tensor, labels: Labels) -> torch.Tensor:
        return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)

    monkeypatch.setitem(TABLE, "entropy", Metric("entropy", POSITION, entropy))
    monkeypatch.setattr("memcirc.metrics.METRICS", (*METRICS, "entropy"))
    monkeypatch.setattr("memcirc.attribution.settings.DIFFERENTIABLE", ("entropy",))
    monkeypatch.setattr("memcirc.engine.scoring.DIFFERENTIABLE", ("entropy",))
    model, pairs = small_model("gpt2"), random_pairs(2)
    runner = circuit_runner(model, pairs, mode="tree")
    scores = attribute(model, pairs, "mask-ig", steps=30, objective="neg_entropy")
    ends = runner.ends("neg_entropy")
    whole = float(scores.values.sum()) / 30
    assert whole == pytest.approx(ends.everything - ends.nothing, rel=0.15)


def test_another_mean_is_an_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mean of clean prompts over all positions."""
    monkeypatch.setitem(ABLATIONS, "toy", Ablation("toy", means_of=("clean",), by_position=False))
    model, pairs = small_model("gpt2"), random_pairs(3)
    for mode in ("tree", "edge"):
        native = circuit_runner(model, pairs, mode=mode, ablation="toy")
        peer = circuit_runner(model, pairs, mode=mode, ablation="toy", engine="auto-circuit")
        circuits = [set(), attribute(model, pairs, "eap", ablation="toy").top(20), native.graph.edges]
        torch.testing.assert_close(native.logits(circuits), peer.logits(circuits))


def test_an_export_format_is_a_function_under_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(FORMATS, "toy", FORMATS["csv"])  # so that it is taken out again

    @written_as("toy", "txt")
    def toy(scored: ScoredCircuit, path: Path) -> None:
        path.write_text(" ".join(scored.circuit), encoding="utf-8")

    graph = Graph(GraphShape(1, 1, 1))
    export(
        ScoredCircuit(graph, Circuit.from_edges(["input->logits"]), torch.zeros(graph.n_edges), 4),
        tmp_path / "t",
        "toy",
    )
    assert (tmp_path / "t").read_text(encoding="utf-8") == "input->logits"
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    assert "csv,toy}" in capsys.readouterr().out


def test_an_engine_is_a_module_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Everywhere:
        def logits(self, kept: torch.Tensor, answers_only: bool = False) -> torch.Tensor:
            return kept.sum(1).double()[:, None, None].expand(-1, 2, 4 if not answers_only else 2)

    module(
        monkeypatch,
        "toy_engine",
        check=lambda config: None,
        prepare=lambda *_: Everywhere(),
        mask_gradients=lambda request, alphas: torch.ones(262),
    )
    monkeypatch.setitem(ENGINES, "toy", "toy_engine")
    model, pairs = small_model("gpt2"), random_pairs(2)
    assert (attribute(model, pairs, "eap", engine="toy").values == 1).all()
    runner = circuit_runner(model, pairs, mode="tree", engine="toy")
    assert runner.logits([{"input->logits"}], answers_only=True)[0, 0, 0] == 1


def test_a_stage_is_a_method_and_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command, its options and its help, the marker, the resuming and the reading follow."""

    def toy(pipeline: Pipeline) -> Path:
        def make(folder: Path) -> Made:
            write_text(folder / "toy.txt", "word " * pipeline.config.discover.steps)
            return [folder / "toy.txt"], "words"

        return pipeline.stage("toy", {"steps": pipeline.config.discover.steps}, [], make)

    monkeypatch.setitem(STAGES, "toy", StageCommand("nothing -> words", "toy", in_units=False))
    monkeypatch.setattr(Pipeline, "toy", toy, raising=False)
    options = ["--model_name", "none", "--dataset", "none", "--run_dir", str(tmp_path)]
    assert main(["toy", *options, "--steps", "3"]) == 0
    assert Run(tmp_path).artifact("toy", "toy.txt").read_text(encoding="utf-8") == "word word word "
    assert main(["toy", *options, "--steps", "4"]) == MISTAKE
    assert "steps was 3, now 4" in capsys.readouterr().err


def test_a_patch_site_is_an_entry_and_its_tap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another name for what a block leaves: by its entry alone it is swept in full passes, with its tap fast."""

    def tapped(*given: torch.Tensor) -> torch.Tensor:
        block, taps = given[:5], given[5]
        out, own = forward.run_block(*block, taps, *given[6:])
        return taps.at("toy", block[1], out), own

    monkeypatch.setitem(KINDS, "toy", Kind("hook_resid_post", swept="toy"))
    model, pairs = small_model("gpt2"), random_pairs(2, (4, 5))
    asked = [[pair.clean_ids for pair in pairs], [pair.corrupt_ids for pair in pairs]]
    answers = [[pair.answer_ids for pair in pairs], [pair.wrong_answer_ids for pair in pairs]]
    slow = patch_sweep(model, *asked, *answers, sites="toy")
    assert slow.notes == ("full passes through TransformerLens: 'toy' is not a place of the fast engine",)
    monkeypatch.setitem(KINDS, "toy", Kind("hook_resid_post", swept="toy", fast=True))
    for room in (engine, runs):
        monkeypatch.setattr(room, "run_block", tapped)
    fast = patch_sweep(model, *asked, *answers, sites="toy")
    assert fast.notes == ()
    assert fast.matrix().shape == (3, 5)
    np.testing.assert_allclose(fast.matrix(), slow.matrix(), atol=1e-9)
    both = [
        patch_sweep(model, *asked, *answers, sites=[Patch((Site("toy", 1),), operation=operation)], normalize=False)
        for operation in ("mean", "zero")
    ]
    assert both[0].effects(normalized=False) != both[1].effects(normalized=False)


def test_every_file_that_the_document_names_is_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`([\w/]+(?:\.py|/))(?::\w+(?:\.\w+)?)?`", text):
        assert (ROOT / name).exists() or (ROOT / "memcirc" / name).exists(), name
    for name, attribute_named in re.findall(r"`([\w/]+\.py):(\w+)", text):
        path = ROOT / name if (ROOT / name).exists() else ROOT / "memcirc" / name
        assert re.search(
            rf"^(class|def) {attribute_named}\b|^{attribute_named}\b", path.read_text(encoding="utf-8"), re.M
        )
