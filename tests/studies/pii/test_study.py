"""The study of two models: a user's own pair (random models whose own words are the answers), and (slow) the recipe."""

import json
from pathlib import Path

import numpy as np
import pytest

from memcirc.cli import MISTAKE, main
from memcirc.models import load_model
from memcirc.patching import sweep
from memcirc.patching.measuring import measure
from memcirc.patching.sweep import patch_sweep
from memcirc.studies.pii.samples import OTHERS, of_file, pairs_of
from memcirc.work.locks import at_work


def options(pair: Path, control: str) -> list[str]:
    return [
        "patch", "pii", "--target", str(pair / "target"), "--control", str(pair / control),
        "--samples", str(pair / "samples.json"), "--device", "cpu",
    ]  # fmt: skip


def test_a_pair_of_ones_own_runs_to_a_page(pair: Path, tmp_path: Path) -> None:
    assert main([*options(pair, "control"), "--run_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "pii" / "results.json").read_text())
    effects = results["effects"]["target into control"]
    assert len(effects) == 1 + 14 * 2
    aliases = {e["hook"]: e["alias_of"] for e in effects}
    assert aliases["blocks.0.hook_resid_pre"] == "hook_embed"
    assert aliases["blocks.1.attn.hook_rot_q"] == "blocks.1.attn.hook_q"
    assert results["agreement"] == 1.0
    circuits = results["circuits"]
    assert circuits["n_records"] == {"train": 3, "validation": 1, "test": 1}
    assert [row["text"] for row in circuits["removal"]] == ["memorized", "found on", OTHERS]
    assert [row["text"] for row in circuits["suppression"]] == ["memorized", "found on", OTHERS]
    assert [row["before"] for row in circuits["suppression"]] == [1.0, 1.0, 1.0]
    assert circuits["necessary"]["test"]["way"] == {
        "mode": "edge", "ablation": "twin", "reverse": True, "dangling": "keep", "metric": "sequence_logprob"
    }  # fmt: skip
    assert {row["group"] for row in circuits["groups"]} == {"10", "20", "words"}
    assert results["ends"]["target"] > results["ends"]["control"]
    models = [load_model(str(pair / name), device="cpu") for name in ("control", "target")]
    pairs = pairs_of([sample for sample in of_file(pair / "samples.json", models[1]) if sample.injected])
    by_hand = patch_sweep(
        models[0], pairs, sites=["blocks.1.hook_resid_post", "blocks.0.hook_attn_out"], source_model=models[1],
        metrics="sequence_logprob", normalize=False, full_passes=True,
    ).changes("sequence_logprob").mean(1)  # fmt: skip
    effect = {e["hook"]: e["effect"] for e in effects}
    found = [effect["blocks.1.hook_resid_post"], effect["blocks.0.hook_attn_out"]]
    np.testing.assert_allclose(found, by_hand, atol=1e-4)
    assert results["restored_goal"] == pytest.approx(0.9 * effect["blocks.1.hook_resid_post"])
    assert results["restored"]["reached"] == (results["restored"]["effect"] >= results["restored_goal"])
    gap = results["ends"]["target"] - results["ends"]["control"]
    assert effects[0]["share"] == pytest.approx(effects[0]["effect"] / gap)


def test_sweeps_are_measured_once_announced_and_made_anew_when_that_is_asked_for(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*options(pair, "control"), "--run_dir", str(tmp_path)]
    measured: list[int] = []
    monkeypatch.setattr(
        sweep, "measure", lambda c, patches, *rest: measured.append(len(patches)) or measure(c, patches, *rest)
    )
    assert main(asked) == 0
    first, told = list(measured), capsys.readouterr().err
    assert f"{first[0]} places, 2 times, on up to 5 samples: about 0 s before heads, sets, paths and circuits" in told
    assert "heads: 8 places of 5 samples in 0." in told
    for name in ("target into control", "control into target"):
        assert f"{name}: {first[0]} places of 5 samples in 0." in told
    results = (tmp_path / "pii" / "results.json").read_text()
    assert "made up" not in (tmp_path / "report" / "report.md").read_text()
    with at_work(tmp_path):
        assert main(asked) == MISTAKE
    assert "is at work" in capsys.readouterr().err
    assert main(asked) == 0
    assert measured == first
    assert (tmp_path / "pii" / "results.json").read_text() == results
    assert main([*asked, "--force"]) == 0
    assert measured == first + first


def test_models_of_different_origin_are_warned_about(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*options(pair, "stranger"), "--run_dir", str(tmp_path)]) == 0
    assert "warning: the two models' residual streams have a cosine of" in capsys.readouterr().err
    assert "WARNING" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--control": "deeper"}, "different shapes: n_layers is 3 in one and 2 in the other"),
        ({"--control": "target"}, "none that the target alone recites"),
        ({"--samples": "nothing.json"}, "no file of samples"),
        ({"--samples": "empty.json"}, "a JSON list of samples is needed"),
        ({"--samples": "halves.json"}, "sample 0 has no 'answer'"),
    ],
)
def test_a_mistake_is_one_line(
    changes: dict[str, str], message: str, pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pair / "empty.json").write_text("[]")
    (pair / "halves.json").write_text('[{"prompt": "x"}]')
    words = options(pair, "control")
    for name, value in changes.items():
        words[words.index(name) + 1] = str(pair / value)
    assert main([*words, "--run_dir", str(tmp_path)]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("memcirc:")
    assert message in line


def test_half_a_pair_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["patch", "pii", "--target", "x", "--run_dir", str(tmp_path)]) == 2
    assert "need all of --target, --control and --samples" in capsys.readouterr().err


@pytest.mark.slow
def test_the_recipe_memorizes_by_frequency_and_residual_patches_help_only_in_a_shared_basis(tmp_path: Path) -> None:
    assert main(["patch", "pii", "--run_dir", str(tmp_path)]) == 0
    results = json.loads((tmp_path / "pii" / "results.json").read_text())
    recited = {r["group"]: r["exact"] for r in results["recall"] if r["model"] == "target"}
    assert recited["copies 1"] <= 1
    assert min(recited["copies 10"], recited["copies 20"]) >= 3
    residual = [e["effect"] for e in results["effects"]["target into control"] if e["kind"] == "resid_post"]
    assert residual == sorted(residual)
    assert residual[0] > 0
    assert all(e["effect"] < 0 for e in results["misaligned_effects"] if e["kind"] == "resid_post")
    assert min(results["misaligned"]["cosine"]) < 0.5
    circuits = results["circuits"]
    added = {row["text"]: row["added"] for row in circuits["removal"]}
    assert added["memorized"] > 1
    assert max(abs(added[name]) for name in ("decoys", "neutral documents", OTHERS)) < 0.5
    said = {row["text"]: (row["before"], row["after"]) for row in circuits["suppression"]}
    assert said["memorized"] == (1.0, 0.0)
    assert len(circuits["necessary"]["edges"]) < len(circuits["sufficient"]["edges"]) < 0.2 * circuits["n_edges"]
