"""The whole road on a miniature, and what happens when it is walked twice, differently, or not to the end."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from memcirc.artifacts import slug
from memcirc.circuit import Circuit
from memcirc.cli import INTERRUPTED, MISTAKE, main
from memcirc.interop.reading import load_circuit
from memcirc.pairs.file import load_pairs
from memcirc.run.config import resolve, stored_config
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.sizes import Runners, attributed
from memcirc.run.verifying import work_list


def test_a_run_leaves_every_artifact_that_the_design_names(finished_run: Path) -> None:
    for name in ("manifest.json", "config.yaml", "score/scores.parquet", "report/report.html", "report/report.md"):
        assert (finished_run / name).is_file(), name
    for task in ("branch", "memorization"):
        for name in ("pairs/pairs.json", "pairs/dropped.json", "discover/edge_scores.safetensors",
                     "discover/circuit.json", "verify/verification.json"):  # fmt: skip
            assert (finished_run / task / name).is_file(), f"{task}/{name}"


def test_nothing_half_written_is_left(finished_run: Path) -> None:
    assert not list(finished_run.rglob("*.partial"))


def test_the_circuit_reaches_its_target_and_carries_its_own_measurement(finished_run: Path) -> None:
    for name in ("circuit.json", "circuit_edge.json"):
        circuit, _ = load_circuit(finished_run / "branch" / "discover" / name)
        origin = circuit.origin
        assert origin["n_edges"] == len(circuit)
        assert origin["evaluated"][str(len(circuit))] == origin["faithfulness"] >= origin["target"] == 0.85
        assert origin["size_chosen_on"]["split"] == "validation"


def test_what_verification_measures_is_the_circuit_on_the_test_split(finished_run: Path) -> None:
    content = json.loads((finished_run / "branch" / "verify" / "verification.json").read_text())
    pairs = load_pairs(finished_run / "branch" / "pairs" / "pairs.json")
    test = pairs.split()[2]
    assert content["statement"]["data_fingerprint"] == test.fingerprint
    assert {row["n_pairs"] for row in content["faithfulness"]} == {len(test)}
    assert len(content["faithfulness"]) == 2 * 4 * 2
    assert {row["n_circuits"] for row in content["random"]} == {10}


def test_recall_rises_with_copies(finished_run: Path) -> None:
    table = pq.read_table(finished_run / "score" / "scores.parquet")
    copies, exact = table["copies"].to_pylist(), table["exact"].to_pylist()
    share = {c: sum(e for k, e in zip(copies, exact, strict=True) if k == c) / copies.count(c) for c in (1, 10)}
    assert share[1] < 0.2
    assert share[10] > 0.6


def test_the_manifest_says_what_was_run(finished_run: Path) -> None:
    manifest = json.loads((finished_run / "manifest.json").read_text())
    assert manifest["versions"]["torch"]
    assert manifest["argv"][0][:2] == ["memcirc", "run"]
    assert manifest["seconds"].keys() >= {"score", "branch/discover", "memorization/verify"}
    assert manifest["peak_memory_mib"] > 0


def test_a_second_run_does_nothing_again(
    finished_run: Path, run_options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("done.json")}
    assert main(["run", *run_options, "--run_dir", str(run_dir)]) == 0
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("done.json")} == before
    assert "loading" not in capsys.readouterr().err


def test_the_stored_configuration_repeats_the_run(finished_run: Path, tmp_path: Path) -> None:
    assert main(["run", str(finished_run / "config.yaml"), "--run_dir", str(tmp_path / "again")]) == 0
    for name in ("branch/pairs/pairs.json", "branch/discover/circuit.json", "memorization/discover/circuit.json"):
        assert (tmp_path / "again" / name).read_bytes() == (finished_run / name).read_bytes()


def test_another_configuration_is_refused_and_changes_nothing(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    before = (run_dir / "config.yaml").read_bytes()
    assert main(["discover", "--run_dir", str(run_dir), "--ig", "3"]) == MISTAKE
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "steps was 5, now 3" in line
    assert "--force" in line
    assert (run_dir / "config.yaml").read_bytes() == before


def test_force_makes_a_stage_anew(finished_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    assert main(["discover", "--run_dir", str(run_dir), "--ig", "1", "--force"]) == 0
    circuit, _ = load_circuit(run_dir / "branch" / "discover" / "circuit.json")
    assert circuit.origin["steps"] == 1
    assert yaml.safe_load((run_dir / "config.yaml").read_text())["discover"]["steps"] == 1


def test_ctrl_c_keeps_finished_stages_and_the_next_run_goes_on(
    finished_run: Path, run_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "interrupted"
    options = ["run", *run_options, "--run_dir", str(run_dir)]

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("memcirc.run.pipeline.discover", interrupt)
        assert main(options) == INTERRUPTED
    assert (run_dir / "branch" / "pairs" / "done.json").is_file()
    assert not (run_dir / "branch" / "discover" / "done.json").exists()
    made = (run_dir / "score" / "done.json").stat().st_mtime_ns
    assert main(options) == 0
    assert (run_dir / "score" / "done.json").stat().st_mtime_ns == made
    name = "branch/discover/circuit.json"
    assert (run_dir / name).read_bytes() == (finished_run / name).read_bytes()


def test_pairs_of_ones_own_are_discovered_and_verified(
    finished_run: Path, run_options: list[str], tmp_path: Path
) -> None:
    source = finished_run / "branch" / "pairs" / "pairs.json"
    options = [*run_options, "--run_dir", str(tmp_path / "own"), "--path", str(source)]
    assert main(["run", *options]) == 0
    own, _ = load_circuit(tmp_path / "own" / "pairs" / "discover" / "circuit.json")
    theirs: Circuit = load_circuit(finished_run / "branch" / "discover" / "circuit.json")[0]
    assert own == theirs


def test_verify_takes_other_scores_sizes_and_pairs(finished_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    options = [
        "--prune_scores_path",
        str(run_dir / "memorization/discover/edge_scores.safetensors"),
        "--edge_count",
        "7",
    ]
    options += ["--dataset_path", str(run_dir / "memorization/pairs/pairs.json"), "--dataset_size", "2"]
    options += ["--ablation_type", "ZERO", "--patch_type", "TREE_PATCH", "--reverse_clean_corrupt", "no"]
    before = {
        path: path.read_bytes() for path in (run_dir / "config.yaml", run_dir / "branch/verify/verification.json")
    }
    assert main(["verify", str(run_dir), *options]) == 0
    (own,) = (run_dir / "branch").glob("verify-*/verification.json")
    assert {path: path.read_bytes() for path in before} == before
    (row,) = json.loads(own.read_text())["faithfulness"]
    assert (row["n_edges"], row["n_pairs"], row["ablation"], row["mode"]) == (7, 2, "zero", "tree")


@pytest.mark.parametrize("preset", ["branch_random", "branch_cross", "ablations_mem_decision", "mem_decision_random"])
def test_a_preset_prints_its_table_and_writes_it(
    finished_run: Path, tmp_path: Path, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    assert main(["verify", "--preset", preset, str(run_dir)]) == 0
    rows = json.loads((run_dir / "presets" / f"{preset}.json").read_text())["rows"]
    assert len(capsys.readouterr().out.splitlines()) == len(rows) + 2
    assert len(rows) in (4, 8, 16, 28)
    carried = {"model", "revision", "dtype", "bos", "split", "data", "ablation", "base", "direction", "selection"}
    assert all(row.keys() >= carried | {"averaging", "seed"} for row in rows)


def test_sizes_are_searched_for_every_loss_metric_and_direction(finished_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    assert main(["verify", "--preset", "branch_sizes", str(run_dir)]) == 0
    content = json.loads((run_dir / "presets/branch_sizes.json").read_text())
    rows = content["rows"]
    assert len(rows) == 2 * 2 * (2 * 5 + 3)
    own = json.loads((run_dir / "branch/discover/circuit.json").read_text())["memcirc"]
    (same,) = [r for r in rows if (r["loss"], r["metric"], r["mode"], r["ablation"], r["direction"]) ==
               ("logit_diff", "logit_diff", "tree", "resample", "noising")]  # fmt: skip
    assert (same["edges"], same["faithfulness"]) == (own["n_edges"], pytest.approx(own["faithfulness"]))
    assert all(row["edges_by_coarse_search"] is None or row["edges"] <= row["edges_by_coarse_search"] for row in rows
               if row["edges"] is not None and not row["note"])  # fmt: skip
    assert [each["size"] for each in content["published"]] == [14, 141, 332, 1923, 3769, 5614, 78]


def test_the_diagonal_of_a_transfer_is_the_circuits_own_number(finished_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    assert main(["verify", "--preset", "branch_cross", str(run_dir)]) == 0
    rows = json.loads((run_dir / "presets/branch_cross.json").read_text())["rows"]
    own = json.loads((run_dir / "branch/verify/verification.json").read_text())["faithfulness"]
    for row in own:
        if row["ablation"] == "resample":
            (same,) = [
                r for r in rows if (r["pairs"], r["mode"], r["direction"]) == ("branch", row["mode"], row["direction"])
            ]
            assert same["faithfulness"] == pytest.approx(row["faithfulness"], abs=1e-6)


def test_the_cross_preset_leaves_out_documents_that_its_circuit_was_found_on(
    finished_run: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    cells = json.loads((run_dir / "transfer/transfer.json").read_text())["cells"]
    for preset, task in (("branch_cross", "branch"), ("mem_decision_cross", "memorization")):
        assert main(["verify", "--preset", preset, str(run_dir)]) == 0
        rows = json.loads((run_dir / f"presets/{preset}.json").read_text())["rows"]
        expected = {(c["data"], c["mode"], c["direction"]): c for c in cells if c["circuit"] == task}
        measured = {(row["pairs"], row["mode"], row["direction"]) for row in rows}
        assert measured == {key for key in expected if key[0] in ("branch", "memorization")}
        for row in rows:
            cell = expected[row["pairs"], row["mode"], row["direction"]]
            assert row["data"] == f"{cell['n_pairs']} pairs ({cell['data_fingerprint']})"
            assert (row["n_seen"], row["faithfulness"]) == (cell["n_seen"], cell["faithfulness"])


def test_presets_and_sizes_keep_to_the_runs_own_ranking(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    config = resolve(stored_config(run_dir), {})
    config = replace(
        config,
        discover=replace(config.discover, by="signed", selection="greedy", reverse=True),
        verify=replace(config.verify, n_edges=7),
    )
    monkeypatch.setattr(Pipeline, "discover", lambda _, task: run_dir / task / "discover")
    monkeypatch.setattr("memcirc.run.reading.differences", lambda *_: [])  # the artifacts are the default ranking's
    pipeline = Pipeline(run_dir, config)
    found = work_list(Run(run_dir, config), "branch").circuits
    assert found["tree"] == found["edge"] == pipeline.edge_scores("branch").greedy(7, "signed")
    assert attributed(pipeline, "branch", "logit_diff").origin["reverse"] is True
    assert Runners(pipeline, "branch").rule == ("signed", "greedy")


def test_a_stage_is_made_once_even_when_forced(finished_run: Path, tmp_path: Path) -> None:
    config = resolve(stored_config(finished_run), {})
    pipeline = Pipeline(tmp_path, config, force=True)
    calls = []

    def make(folder: Path) -> tuple[list[Path], str]:
        calls.append(folder)
        return [], ""

    for _ in range(2):
        pipeline.stage("stage", {}, [], make)
    assert len(calls) == 1


def test_a_subsets_name_becomes_part_of_a_folders() -> None:
    assert slug("Wikipedia (en)") == "wikipedia_en"


def test_a_task_without_pairs_is_reported_beside_the_one_that_has(run_options: list[str], tmp_path: Path) -> None:
    run_dir = tmp_path / "half"
    assert main(["run", *run_options, "--low_threshold", "0.0", "--run_dir", str(run_dir)]) == 0
    assert not (run_dir / "memorization" / "verify").exists()
    page = (run_dir / "report" / "report.md").read_text()
    lowest = min(pq.read_table(run_dir / "score" / "scores.parquet", columns=["bleu4"])["bleu4"].to_pylist())
    assert (
        "Missing: task memorization: no passage has a bleu score of at most low_threshold 0.0: the lowest is "
        f"{lowest:.3f}"
    ) in page


def test_the_page_grows_by_each_task_the_slowest_of_which_is_last(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []

    def verify(pipeline: Pipeline, task: str) -> None:
        done.append(task)
        if task != "memorization":  # which an earlier command has made
            pipeline.stages.seconds[f"{task}/verify"] = 1.0

    def report(pipeline: Pipeline) -> Path:
        done.append("page")
        return Path("page")

    monkeypatch.setattr(Pipeline, "verify", verify)
    monkeypatch.setattr(Pipeline, "report", report)
    monkeypatch.setattr(Pipeline, "transfer", lambda pipeline: done.append(tuple(pipeline.finished)))
    twins = {"twin_name": "twin", "contrastive_mode": "both"}
    Pipeline(finished_run, resolve(stored_config(finished_run), twins)).everything()
    first, last = ["branch", "page", "memorization"], "learned"
    assert done == [*first, last, ("learned", "branch", "memorization"), "page"]


def test_circuits_are_exported_from_the_command_line(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("mib-json", "mib-pt", "auto-circuit", "graphml", "dot", "csv"):
        target = tmp_path / name
        assert main(["export", str(finished_run), "--format", name, "--out", str(target)]) == 0
        assert target.stat().st_size > 100
    assert main(["export", str(finished_run), "--format", "csv", "--task", "cooking", "--mode", "edge"]) == MISTAKE
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "has no task 'cooking'; it has branch, memorization" in line


def test_full_with_another_option_is_still_full(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, made = tmp_path / "copy", []
    shutil.copytree(finished_run, run_dir)

    def verified(_: Pipeline, task: str, name: str) -> Path:
        made.append(name)
        return run_dir / task / "verify" / "verification.json"

    monkeypatch.setattr(Pipeline, "verify", verified)
    monkeypatch.setattr(Pipeline, "transfer", lambda _: made.append("transfer"))
    monkeypatch.setattr("memcirc.run.command.write_report", lambda *_: made.append("report"))
    monkeypatch.setattr("memcirc.run.ground_truth.ensure_ground_truth", lambda *_: made.append("ground truth"))
    assert main(["verify", "--full", str(run_dir), "--random_circuits", "20"]) == 0
    *names, transfer, ground_truth, page = made
    assert (transfer, ground_truth, page) == ("transfer", "ground truth", "report")
    assert len(set(names)) == 1
    assert names[0].startswith("verify-full-")


def test_the_first_verification_of_a_run_made_stage_by_stage_is_its_own(finished_run: Path, tmp_path: Path) -> None:
    """Stages before it have stored the default options, which nothing was verified with."""
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir, ignore=shutil.ignore_patterns("verify", "report", "transfer"))
    few = ["verify", str(run_dir), "--checks", "faithfulness", "--n_pairs"]
    assert main([*few, "3"]) == 0
    run = Run(run_dir)
    assert run.config.verify.n_pairs == 3
    assert run.verification("branch").statement["n_pairs"] == 3
    assert main(["report", str(run_dir)]) == 0
    assert main([*few, "2"]) == 0
    assert Run(run_dir).verification("branch").statement["n_pairs"] == 3
    assert len([*run_dir.glob("branch/verify-*")]) == 1


def test_a_first_verification_that_is_interrupted_goes_on_as_it_began(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir, verify = tmp_path / "copy", Pipeline.verify
    shutil.copytree(finished_run, run_dir, ignore=shutil.ignore_patterns("verify", "report", "transfer"))
    few = ["verify", str(run_dir), "--checks", "faithfulness", "--n_pairs", "3"]

    def interrupted(pipeline: Pipeline, task: str, name: str) -> Path:
        if task == "memorization":
            raise KeyboardInterrupt
        return verify(pipeline, task, name)

    monkeypatch.setattr(Pipeline, "verify", interrupted)
    assert main(few) == INTERRUPTED
    monkeypatch.setattr(Pipeline, "verify", verify)
    assert main(few) == 0
    assert not [*run_dir.glob("*/verify-*")]
    assert Run(run_dir).verification("memorization").statement["n_pairs"] <= 3


def test_pairs_of_ones_own_do_not_take_the_place_of_a_verified_runs(finished_run: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    before = (run_dir / "config.yaml").read_bytes()
    other = ["--path", str(run_dir / "branch" / "pairs" / "pairs.json"), "--checks", "faithfulness"]
    main(["verify", str(run_dir), *other])
    assert (run_dir / "config.yaml").read_bytes() == before


@pytest.mark.slow
def test_the_full_verification_makes_every_check_and_the_page_anew(
    finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    before = (run_dir / "branch/verify/verification.json").read_bytes()
    assert main(["verify", "--full", str(run_dir)]) == 0
    content = json.loads((run_dir / "branch/verify-full/verification.json").read_text())
    for name in ("faithfulness", "curve", "random", "generation", "knockout", "methods", "specificity"):
        assert content[name], name
    assert {curve["ablation"] for curve in content["curve"]} == {"resample", "zero", "mean-clean", "mean-corrupt"}
    assert (run_dir / "branch/verify/verification.json").read_bytes() == before
    assert (run_dir / "report/figures/branch_recitation.svg").is_file()
    page = (run_dir / "report/report.html").read_text()
    assert "Ground truth: circuits that are known" in page
    refused = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not measured")]
    assert all(any(number.isdigit() for number in line) for line in refused)
