"""Does a finished run still hold? Files, what they were made from, splits, circuits, numbers and page, read only.

``memcirc audit RUN`` makes these checks in turn. What a stage's marker states by hash is computed anew; what several
artifacts state of one thing is held against each other (:mod:`memcirc.run.consistency`); a share of the faithfulness
numbers is measured again (:mod:`memcirc.run.remeasuring`); the page is made again beside the run. A check that cannot
be made is a finding, too: what is not known to hold is not passed over.
"""

import filecmp
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from shlex import quote

import numpy as np

from memcirc.artifacts import DONE, Marker, read_json
from memcirc.report.page import write_report
from memcirc.run import consistency
from memcirc.run.consistency import Checked
from memcirc.run.manifest import installed
from memcirc.run.pipeline import Pipeline
from memcirc.run.reading import Run
from memcirc.run.remeasuring import measured_again, numbers_of, runs_of_verifications
from memcirc.run.scoring import DATA_FILE

CLOCK = 0.006
Check = Callable[[Run, Sequence[str]], Checked]


def audit(path: str | Path, share: float = 0.1, seed: int = 0) -> dict[str, Checked]:
    """Check a run; nothing is written to it.

    Args:
        share: which part of the faithfulness numbers is measured again, drawn by ``seed``; 0: none, and no model is
            loaded.

    Raises:
        FileNotFoundError: there is no run, or no stage of it is finished.
        ValueError: its configuration cannot be read, or a share outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share {share} is outside [0, 1]")
    run = Run(path)
    stages = stages_of(run)
    checks = dict(CHECKS)
    if share:
        checks["numbers"] = partial(_numbers, share=share, seed=seed)
    return {name: _guarded(check, run, stages) for name, check in checks.items()}


def stages_of(run: Run) -> tuple[str, ...]:
    """Names of the stages that have been finished, tasks' ones behind those of the run.

    Raises:
        FileNotFoundError: there is none.
    """
    _ = run.config
    found = sorted(marker.parent.relative_to(run.path).as_posix() for marker in run.path.rglob(DONE))
    if not found:
        raise FileNotFoundError(
            f"{run.path} has no finished stage; `memcirc run --run_dir {quote(str(run.path))}` makes them"
        )
    return tuple(sorted(found, key=lambda name: name.count("/")))


def _guarded(check: Check, run: Run, stages: Sequence[str]) -> Checked:
    """A check, with the reason as its finding where it cannot be made."""
    try:
        return check(run, stages)
    except (ValueError, FileNotFoundError, KeyError, TypeError) as reason:
        return Checked(0, "", (f"cannot be checked: {' '.join(str(reason).split())}",))


def _files(run: Run, stages: Sequence[str]) -> Checked:
    """Every output by its hash; configuration and inputs of its stage; inputs that stand in the run."""
    findings, number = [], 0
    for stage in stages:
        marker = Marker.read(run.path / stage / DONE)
        number += len(marker.outputs)
        for file in marker.outputs:
            try:
                run.artifact(stage, file)
            except (ValueError, FileNotFoundError) as reason:
                findings.append(str(reason))
        gone = [key for key in marker.inputs if "/" in key and not (run.path / key).is_file()]
        findings += [f"{run.path / stage}: made from {key}, which is gone" for key in gone]
    return Checked(number, f"outputs of {len(stages)} stages", tuple(dict.fromkeys(findings)))


def _inputs(run: Run, stages: Sequence[str]) -> Checked:
    """Weights, tokenizer and twin, as every stage knew them; the corpus, as the windows knew it."""
    pipeline = Pipeline(run.path, run.config, terse=True)
    findings, known = [], {**pipeline.identity, **pipeline.corpus}
    stated = {stage: Marker.read(run.path / stage / DONE).config for stage in stages}
    number = 0
    for stage, was in stated.items():
        keys = [key for key in was if key in pipeline.identity or key.startswith(DATA_FILE)]
        number += len(keys)
        for key in keys:
            if was[key] != known.get(key):
                now = "not there" if known.get(key) is None else repr(known[key])
                findings.append(f"{stage}: {key} was {was[key]!r}, now {now}")
    return Checked(number, "statements of model, tokenizer and corpus", tuple(findings))


def _versions(run: Run, stages: Sequence[str]) -> Checked:
    """What the last command ran with, beside what is installed; another version is told, and no finding: whether the
    numbers hold under it is measured. So are another device, and seconds that are not the marker's: an interrupted
    command leaves none in the manifest.
    """
    path = run.path / "manifest.json"
    if not path.is_file():
        return Checked(0, "", (f"{path} is not there: what the run was made with is not known",))
    content, now = read_json(path), installed()
    was = content["versions"]
    differ = [f"{name} was {was.get(name)}, now {now[name]}" for name in now if was.get(name) != now[name]]
    device = run.config.model.device
    for stage, *_, found in runs_of_verifications(run):
        if device not in ("auto", found.statement.get("device")):
            differ.append(f"{stage} was measured on {found.statement.get('device')}, the configuration says {device}")
    for stage, told in content["seconds"].items():
        took = Marker.read(run.path / stage / DONE).seconds if stage in stages else told
        if abs(took - told) > CLOCK:
            differ.append(f"{stage} took {took} s by its marker, {told} s by {path.name}")
    return Checked(len(now), "packages", remark="; ".join(differ))


def _numbers(run: Run, _: Sequence[str], share: float, seed: int) -> Checked:
    numbers = numbers_of(run)
    count = max(1, round(share * len(numbers)))
    drawn = sorted(np.random.default_rng(seed).choice(len(numbers), count, replace=False).tolist()) if numbers else []
    findings, furthest = measured_again(run, [numbers[i] for i in drawn])
    remark = f"tolerance: what rounding of the logits can move; at most {furthest:.2g} of it used"
    return Checked(len(drawn), f"{len(numbers)} faithfulness numbers, measured again", findings, remark)


def _page(run: Run, _: Sequence[str]) -> Checked:
    """The page and its tables are what the artifacts give."""
    folder = run.path / "report"
    if not folder.is_dir():
        return Checked(0, "files", remark="none has been made")
    with tempfile.TemporaryDirectory() as made:
        write_report(run.files(), Path(made))
        again = {path.relative_to(made) for path in Path(made).rglob("*") if path.suffix in COMPARED}
        same = {path for path in again if (folder / path).is_file()
                and filecmp.cmp(Path(made) / path, folder / path, shallow=False)}  # fmt: skip
    findings = [f"{folder / path} is not what the artifacts give; `memcirc report {quote(str(run.path))}` makes it anew"
                for path in sorted(again - same)]  # fmt: skip
    return Checked(len(again), "files of the page and its tables", tuple(findings))


COMPARED = (".html", ".md", ".json", ".csv", ".tex")


CHECKS: dict[str, Check] = {
    "files": _files,
    "inputs": _inputs,
    "windows": consistency.windows,
    "splits": consistency.splits,
    "leakage": consistency.leakage,
    "circuits": consistency.circuits,
    "arithmetic": consistency.arithmetic,
    "versions": _versions,
    "page": _page,
}
