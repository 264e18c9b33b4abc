"""A finished run, read: every artifact as its stage left it, or a line that names it; nothing is run or written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import memcirc
from memcirc.artifacts import DONE, file_hash
from memcirc.cli import MISTAKE, main
from memcirc.interop.reading import load_circuit
from memcirc.run.config import resolve
from memcirc.run.reading import Run


@pytest.fixture
def copy(finished_run: Path, tmp_path: Path) -> Path:
    run_dir = tmp_path / "copy"
    shutil.copytree(finished_run, run_dir)
    return run_dir


def tree(run_dir: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(run_dir)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in run_dir.rglob("*")
    }


def refusal(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(argv) == MISTAKE
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("memcirc: ")]
    return line


def no_model(*_: object, **__: object) -> None:
    raise AssertionError("a model was loaded")


def test_a_run_gives_every_artifact_and_changes_nothing(finished_run: Path) -> None:
    before, run = tree(finished_run), memcirc.Run(str(finished_run))
    assert run.tasks == ("branch", "memorization")
    assert len(run.windows.ids) == len(run.scores)
    train, validation, test = run.splits("branch")
    assert len(train) + len(validation) + len(test) == len(run.pairs("branch"))
    scores, circuit = run.edge_scores("branch"), run.circuit("branch", "edge")
    assert circuit.edges == scores.top(len(circuit)).edges
    assert run.circuit("branch").origin["mode"] == "tree"
    verification = run.verification("memorization")
    assert verification.statement["circuits"]["tree"]["n_edges"] == len(run.circuit("memorization", "tree"))
    written = json.loads((finished_run / "memorization" / "verify" / "verification.json").read_text(encoding="utf-8"))
    assert verification.to_json() == written
    assert written["statement"]["n_rediscoveries"] == 50
    assert run.report == finished_run / "report" / "report.html"
    assert tree(finished_run) == before


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda run: run.pairs("cooking"), "no task 'cooking'; it has branch, memorization"),
        (lambda run: run.circuit("branch", "leaf"), "mode 'leaf' is not known"),
        (lambda run: run.artifact("branch/discover", "x.json"), "holds no x.json; it holds edge_scores"),
        (lambda run: run.artifact("memorization@x/verify", "v"), "is not finished; `memcirc verify --full --run_dir"),
        (lambda run: run.artifact("branch/verify-full", "v"), "is not finished; `memcirc verify --full --run_dir"),
        (lambda run: run.artifact("transfer-full", "v"), "is not finished; `memcirc verify --full --run_dir"),
        (lambda run: run.artifact("transfer-none", "v"), "is not finished; `memcirc run --run_dir"),
        (lambda _: Run("/no/run").config, "no run in /no/run"),
    ],
)
def test_what_is_not_there_is_said(finished_run: Path, ask: Callable[[Run], object], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ask(Run(finished_run))


def switch_off(path: Path, n: int = 10) -> None:
    """Edit a circuit by hand."""
    content = json.loads(path.read_text())
    for edge in [edge for edge in content["edges"].values() if edge["in_graph"]][:n]:
        edge["in_graph"] = False
    path.write_text(json.dumps(content))


def test_an_edited_circuit_is_not_the_runs_own(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is not exported, and the page is made without its task, which it says."""
    path = copy / "branch" / "discover" / "circuit.json"
    switch_off(path, 3)
    said = f"{path} is damaged, or was changed by hand; `memcirc discover --run_dir {copy}` makes it"
    assert said in refusal(["export", str(copy), "--format", "csv"], capsys)
    assert not (copy / "export").exists()
    assert main(["report", str(copy)]) == 0
    assert f"report: task branch is left out: {said}" in capsys.readouterr().err
    page = (copy / "report" / "report.md").read_text()
    assert f"Missing: task branch: {said}" in page
    assert "## Task branch" not in page
    assert "## Task memorization" in page
    switch_off(copy / "memorization" / "discover" / "circuit.json", 3)
    assert said in refusal(["report", str(copy)], capsys)


def test_a_task_verified_by_another_version_is_left_out_of_the_page(copy: Path) -> None:
    path = copy / "branch" / "verify" / "verification.json"
    content = json.loads(path.read_text())
    for row in content["faithfulness"]:
        del row["note"]
    path.write_text(json.dumps(content))
    marker = json.loads((copy / "branch" / "verify" / DONE).read_text())
    marker["outputs"]["verification.json"] = file_hash(path)
    (copy / "branch" / "verify" / DONE).write_text(json.dumps(marker))
    files = Run(copy).files()
    assert [*files.tasks] == ["memorization"]
    assert files.absent["branch"] == "a record of 'faithfulness' has no note; verify the circuits anew"


def test_another_runs_artifacts_are_not_this_runs(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(copy / "memorization" / "discover", copy / "branch" / "discover", dirs_exist_ok=True)
    line = refusal(["export", str(copy), "--format", "csv"], capsys)
    assert "branch/discover: made from memorization/pairs/pairs.json" in line


def test_what_was_made_from_something_else_is_stale(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copy / "memorization" / "verify")
    marker = copy / "branch" / "pairs" / DONE
    content = json.loads(marker.read_text())
    content["outputs"]["pairs.json"] = "0" * 16
    marker.write_text(json.dumps(content))
    line = refusal(["export", str(copy), "--format", "csv"], capsys)
    assert "branch/discover: made from another branch/pairs/pairs.json" in line


def test_a_configuration_edited_by_hand_is_not_that_of_the_artifacts(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "config.yaml"
    path.write_text(path.read_text().replace("steps: 5", "steps: 4"))
    assert "branch/discover: steps was 5, now 4" in refusal(["report", str(copy)], capsys)
    path.write_text(path.read_text().replace("steps: 4", "steps: 5").replace("split_seed: 0", "split_seed: 1"))
    line = refusal(["export", str(copy), "--format", "csv"], capsys)
    assert "branch/discover: split_seed was 0, now 1" in line


def test_a_report_needs_no_model_and_not_the_folder_that_the_run_was_made_in(
    run_options: list[str], finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made with relative paths in one folder, moved, and reported from another where the model is not."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    model, corpus = Path(run_options[1]), Path(run_options[3])
    shutil.copytree(model, project / "model")
    shutil.copy(corpus, project / "corpus.jsonl")
    elsewhere.mkdir()
    monkeypatch.chdir(project)
    options = ["--model_name", "model", "--dataset", "corpus.jsonl", *run_options[4:], "--contrastive_mode"]
    assert main(["run", *options, "divergence", "--run_dir", "run"]) == 0
    page = (project / "run" / "report" / "report.md").read_text()
    monkeypatch.chdir(elsewhere)
    assert main(["verify", "../project/run"]) == 0
    (project / "model").rename(project / "gone")
    monkeypatch.setattr("memcirc.run.loading.load_model", no_model)
    (project / "run").rename(elsewhere / "moved")
    assert main(["report", "moved"]) == 0
    assert (elsewhere / "moved" / "report" / "report.md").read_text() == page


def test_a_model_folder_that_is_gone_is_called_absent(
    run_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run_options[1], tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    assert main(["score", "--model_name", "model", *run_options[2:8], "--run_dir", "run"]) == 0
    (tmp_path / "model").rename(tmp_path / "gone")
    line = refusal(["score", "--run_dir", "run"], capsys)
    assert f"the model folder 'model' that this run was made with is not there (nor {tmp_path / 'model'})" in line
    assert "--force" not in line


def test_options_are_meant_from_where_they_are_typed(
    finished_run: Path, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(finished_run / "branch" / "pairs" / "pairs.json", tmp_path / "own.json")
    assert (
        main(["verify", "copy", "--dataset_path", "own.json", "--checks", "faithfulness", "--dataset_size", "2"]) == 0
    )


@pytest.mark.parametrize("here", ["data", "elsewhere"])
def test_a_file_by_another_path_is_the_same_file(here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data", "elsewhere"):
        (tmp_path / name).mkdir()
    corpus = tmp_path / "data" / "c.jsonl"
    corpus.touch()
    stored = {"folder": str(corpus.parent), "model": {"model_name": "m"}, "prepare": {"dataset": "c.jsonl"}}
    monkeypatch.chdir(tmp_path / here)
    for said in ("../data/c.jsonl", str(corpus)):
        assert resolve(stored, {"dataset": said}).prepare.dataset == "c.jsonl"


@pytest.mark.parametrize("argv", [["report"], ["verify", "--checks", "faithfulness"]])
def test_with_a_folder_of_its_own_a_command_leaves_the_run_alone(copy: Path, tmp_path: Path, argv: list[str]) -> None:
    before = tree(copy)
    assert main([*argv, str(copy), "--out", str(tmp_path / "out")]) == 0
    assert tree(copy) == before
    name = "report.html" if argv[0] == "report" else "memorization/verification.json"
    assert (tmp_path / "out" / name).is_file()


@pytest.mark.parametrize("content", ["[1]", "{}", '{"rows": [1]}', '{"rows": 1}'])
def test_a_file_without_a_hash_that_is_damaged_is_named(
    copy: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "presets" / "ground_truth.json"
    path.parent.mkdir()
    path.write_text(content)
    assert str(path) in refusal(["report", str(copy)], capsys)
    path.unlink()
    (copy / "absent.json").write_text("[1]")
    shutil.rmtree(copy / "memorization")
    assert f"{copy / 'absent.json'}: a JSON object is needed" in refusal(["report", str(copy)], capsys)


def test_a_task_without_a_circuit_is_left_out_of_a_verification_apart(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As `memcirc run` leaves it, where there are too few pairs of one sort."""
    argv = ["verify", str(copy), "--checks", "faithfulness", "--out", str(tmp_path / "out")]
    shutil.rmtree(copy / "memorization")
    assert main(argv) == 0
    assert "memorization: left out, no circuit of it was found" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["branch"]
    shutil.rmtree(copy / "branch")
    assert f"`memcirc pairs --run_dir {copy}` makes it" in refusal(argv, capsys)


@pytest.mark.parametrize("argv", [["report", "RUN"], ["export", "RUN", "--format", "csv"], ["run", "--run_dir", "RUN"]])
def test_a_directory_that_cannot_be_written_is_one_line(
    copy: Path, argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only(*_: object, **options: object) -> None:
        raise OSError(30, "Read-only file system", str(options["dir"]))

    monkeypatch.setattr("memcirc.artifacts.tempfile.mkstemp", read_only)
    line = refusal([str(copy) if word == "RUN" else word for word in argv], capsys)
    assert "Read-only file system" in line
    assert str(copy) in line


def test_damaged_artifacts_that_are_made_anew_are_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    circuit = copy / "branch" / "discover" / "circuit.json"
    expected = circuit.read_bytes()
    circuit.write_bytes(expected[:100])
    (copy / "memorization" / "verify" / DONE).write_text("[]")
    (copy / "manifest.json").write_text("[")
    assert main(["run", "--run_dir", str(copy)]) == 0
    told = capsys.readouterr().err
    assert f"{circuit} is damaged, or was changed by hand; branch/discover is made anew" in told
    assert "memorization/verify/done.json: not a stage's marker" in told
    assert "manifest.json cannot be read" in told
    assert circuit.read_bytes() == expected
    assert json.loads((copy / "manifest.json").read_text())["argv"]


def test_a_report_of_a_run_that_is_not_finished_names_the_command_and_scores_nothing(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("memcirc.run.loading.load_model", no_model)
    scores = copy / "score" / "scores.parquet"
    scores.write_bytes(scores.read_bytes()[:-1])
    assert main(["report", str(copy)]) == 0
    assert f"report: how much is recited is left out: {scores} is damaged" in capsys.readouterr().err
    assert f"Missing: how much is recited: {scores} is damaged" in (copy / "report" / "report.md").read_text()
    for task in ("branch", "memorization"):
        shutil.rmtree(copy / task / "verify")
    line = refusal(["report", str(copy)], capsys)
    assert f"{copy} has no verified circuit; `memcirc verify --run_dir {copy}` makes it" in line


def test_the_full_verification_is_shown_while_it_is_of_the_circuits_that_are_there(copy: Path) -> None:
    run, plain, full = Run(copy), copy / "branch" / "verify", copy / "branch" / "verify-full"
    shutil.copytree(plain, full)
    assert run.files().tasks["branch"].verification == full / "verification.json"
    later = copy / "branch" / "verify-full-0a1b"
    shutil.copytree(plain, later)
    content = json.loads((later / DONE).read_text())
    (later / DONE).write_text(json.dumps({**content, "finished": content["finished"] + 1}))
    assert run.files().tasks["branch"].verification == later / "verification.json"
    stale = {**content, "inputs": dict.fromkeys(content["inputs"], "0" * 16)}
    for folder in (full, later):
        (folder / DONE).write_text(json.dumps(stale))
    assert run.files().tasks["branch"].verification == plain / "verification.json"


def test_the_runs_circuit_is_read_by_name_of_its_mode(finished_run: Path) -> None:
    path = Run(finished_run).circuit_file("branch", "edge")
    assert path.name == "circuit_edge.json"
    assert load_circuit(path)[0].origin["mode"] == "edge"


def test_a_presets_table_has_its_place_in_the_run(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(["verify", "--preset", "branch_random", str(copy), "--out", str(tmp_path / "out")], capsys)
    assert "a preset's table goes to RUN/presets" in line
    assert not (copy / "presets").exists()


OLDER = {
    "steps": "ig",
    "metric": "optimize_metric",
    "target": "target_performance",
    "ablation": "ablation_type",
    "mode": "patch_type",
    "reverse": "reverse_clean_corrupt",
    "batch_size": "eap_batch_size",
    "seed": "attribution_seed",
}


def test_a_stage_of_an_older_run_is_known_by_the_studys_words(
    finished_run: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its marker says them; it is neither made anew nor taken for a stage of other settings."""
    marker = copy / "branch" / "discover" / "done.json"
    content = json.loads(marker.read_text(encoding="utf-8"))
    config = {OLDER.get(key, key): value for key, value in content["config"].items() if key != "objective"}
    content["config"] = config | {"grad_function": "logit", "loss_function": "avg_diff", "ablation_type": "RESAMPLE"}
    older = json.dumps(content)
    marker.write_text(older, encoding="utf-8")
    circuit = Run(copy).circuit("branch")
    assert main(["discover", "--run_dir", str(copy)]) == 0
    assert marker.read_text(encoding="utf-8") == older
    assert circuit == Run(finished_run).circuit("branch")
    marker.write_text(older.replace('"ig": 5', '"ig": 4').replace("avg_diff", "avg_val"), encoding="utf-8")
    changed = "objective was 'answer_logit', now 'logit_diff'; steps was 4, now 5"
    assert changed in refusal(["discover", "--run_dir", str(copy)], capsys)
    assert main(["report", "--run_dir", str(copy)]) == 0
    assert changed in (copy / "report" / "report.md").read_text(encoding="utf-8").replace("\\", "")


def test_a_verification_without_todays_settings_is_not_taken_for_one_with_them(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = copy / "branch" / "verify" / "done.json"
    content = json.loads(marker.read_text(encoding="utf-8"))
    content["config"] = {
        {"n_random": "random_circuits", "n_edges": "edge_count"}.get(key, key): value
        for key, value in content["config"].items()
        if key != "n_splits"
    }
    marker.write_text(json.dumps(content), encoding="utf-8")
    line = refusal(["verify", "--run_dir", str(copy)], capsys)
    assert "n_splits was None, now 5; choose another --run_dir, or --force" in line
    assert "n_random" not in line
    assert Run(copy).verification("branch").faithfulness
