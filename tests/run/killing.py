"""Kill a run at random moments, go on, and compare what is left with a run that nobody killed.

``python -m tests.run.killing KILLS SEED FOLDER OPTIONS...`` is one process that has loaded everything and makes every
command in a child of its own. A child is killed by SIGKILL, SIGTERM or SIGINT: after a time, or at one of the moments
at which a file is begun, put in its place or removed. It says in JSON how many kills of which signal met which stage,
and what differs.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from memcirc.artifacts import DONE
from memcirc.cli import main
from memcirc.run import pipeline

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
STAGES = ("windows", "score", "points", "pairs", "discover", "verify", "transfer", "report")
ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
PAGE = "report/report.html"


def no_page(_: object, out: Path) -> Path:
    """In the place of the page, whose figures take most of a run's time."""
    path = out / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("page", encoding="utf-8")
    return path


def at_a_moment(number: int, then: Callable[[], None]) -> list[int]:
    """From now on, ``then`` is done at the given one of the moments that matter to files; the list counts them."""
    passed = [0]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            passed[0] += 1
            if passed[0] == number:
                then()
            result = function(*given, **named)
            passed[0] += 1
            if passed[0] == number:
                then()
            return result

        return called

    for owner, name in ((Path, "replace"), (Path, "unlink"), (Path, "mkdir"), (tempfile, "mkstemp")):
        setattr(owner, name, counted(getattr(owner, name)))
    return passed


def child(argv: list[str], log: Path, number: int | None = None, sent: int = 0) -> int:
    """The process of a command; it sends itself the signal at the moment of a number, and writes down how many there
    were."""
    pid = os.fork()
    if pid:
        return pid
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    passed = at_a_moment(number or -1, lambda: os.kill(os.getpid(), sent))
    with log.open("a", encoding="utf-8") as said, redirect_stdout(said), redirect_stderr(said):
        status = main(argv)
    log.with_suffix(".moments").write_text(str(passed[0]), encoding="utf-8")
    os._exit(status)


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def content(run_dir: Path) -> dict[str, Any]:
    """What a run has left: bytes, and of markers all that is no time."""
    found: dict[str, Any] = {}
    for path in sorted(run_dir.rglob("*")):
        name = path.relative_to(run_dir).as_posix()
        if path.is_file() and not path.name.startswith((".lock", ".turn")) and name != "manifest.json":
            found[name] = path.read_bytes()
            if path.name == DONE:
                marker = json.loads(found[name])
                found[name] = {key: marker[key] for key in ("config", "inputs", "outputs")}
    return found


def stage_at_work(run_dir: Path) -> str:
    """The stage that has begun last and is not finished."""
    begun = [path for path in (*run_dir.glob("*"), *run_dir.glob("*/*")) if path.is_dir() and path.name in STAGES]
    open_ = [path for path in begun if not (path / DONE).is_file()]
    return max(open_, key=lambda path: path.stat().st_mtime_ns).name if open_ else "between stages"


def campaign(kills: int, seed: int, folder: Path, options: list[str]) -> dict[str, Any]:
    """So many kills, in as many runs as it takes."""
    draw, whole, log = random.Random(seed), folder / "whole", folder / "log"
    pipeline.write_report = no_page
    start = time.perf_counter()
    assert ended(child(["run", *options, "--run_dir", str(whole)], log)) == 0, log.read_text(encoding="utf-8")
    duration = time.perf_counter() - start
    moments, expected = int(log.with_suffix(".moments").read_text(encoding="utf-8")), content(whole)
    met, wrong, runs = Counter[str](), list[str](), 0
    while sum(met.values()) < kills:
        run_dir, runs = folder / f"run{runs}", runs + 1
        argv, status, tries = ["run", *options, "--run_dir", str(run_dir)], -1, 0
        while status:
            sent, by_time = draw.choice(SIGNALS), draw.random() < 0.5
            last = tries > 12 or sum(met.values()) >= kills
            early = draw.random() ** 3  # what is done already is not done again: a run is killed several times
            number = None if by_time or last else 1 + int(moments * early)
            pid, tries = child(argv, log, number, sent), tries + 1
            if by_time and not last:
                time.sleep(duration * early)
                os.kill(pid, sent)
            status = ended(pid)
            if status:
                met[f"{signal.Signals(sent).name} {stage_at_work(run_dir)}"] += 1
            if status not in (0, ENDS[sent], -sent):  # by the signal itself: before the command has begun
                wrong.append(f"{run_dir.name}: {signal.Signals(sent).name} ended with {status}")
        found = content(run_dir)
        differ = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
        wrong += [f"{run_dir.name}: {name} differs" for name in differ]
        if not differ:
            shutil.rmtree(run_dir)
    return {"runs": runs, "kills": dict(met), "wrong": wrong, "seconds": time.perf_counter() - start}


if __name__ == "__main__":
    kills, seed, folder, *options = sys.argv[1:]
    print(json.dumps(campaign(int(kills), int(seed), Path(folder), options)))
