"""Mutation testing: which of a sample of faults do the tests of their own room find?

    python -m tests.mutation [--count 300] [--seed 0] [--first 0] [--last 300] [--rooms engine pairs]
                            [--again]

1. The tests of all rooms run once (again, where a file changed since); :mod:`tests.mutation.reach` writes down which
   functions each of them calls.
2. Every mutant gets a forked process in which torch and its friends are loaded and memcirc is not. It reads the faulty
   source in place of the file, and runs the tests that call the function, the mirror's first, then the fastest, up to
   ``SECONDS`` of them. A failure, a crash or no end in time is a kill.
3. The survivors, with their lines, are in ``runs/mutation/report.txt`` (not committed).
"""

import argparse
import importlib
import importlib.machinery
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.mutation.mutants import ROOMS, ROOT, Mutant, everything, sample

HEAVY = (
    "torch", "transformers", "transformer_lens", "pyarrow.parquet", "hypothesis", "datasets", "scipy.stats", "nltk",
    "jaxtyping", "beartype", "matplotlib.pyplot", "transformers.models.auto.modeling_auto", "torch._dynamo",
)  # fmt: skip
TESTS = {
    "pairs": ("tests/pairs",),
    "metrics": ("tests/test_metrics.py",),
    "circuits": ("tests/circuits", "tests/test_circuit.py"),
    "attribution": ("tests/attribution",),
    "statistics": ("tests/test_statistics.py",),
    "verification": ("tests/verification",),
    "engine": ("tests/engine",),
    "decoder": ("tests/decoder", "tests/engine"),
}
SECONDS = 12.0
FOLDER = ROOT / "runs" / "mutation"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int)
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument("--again", action="store_true", help="only the survivors of the last report")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in HEAVY:
        importlib.import_module(name)
    tests = _observed(sorted({place for room in options.rooms for place in TESTS[room]}))
    mutants = sample(options.count, options.seed, options.rooms)[options.first : options.last]
    if options.again:
        last = (FOLDER / "report.txt").read_text(encoding="utf-8").splitlines()
        survived = {line.partition(" tests: ")[2] for line in last if line.startswith("SURVIVED")}
        mutants = [mutant for mutant in everything(options.rooms) if str(mutant) in survived]
    with (FOLDER / ("again.txt" if options.again else "report.txt")).open("w", encoding="utf-8", buffering=1) as report:
        _report(mutants, tests, report.write)


def _report(mutants: list[Mutant], tests: dict[str, Any], write: Callable[[str], object]) -> None:
    """Run the mutants; a line for each as it ends, then the counts."""
    drawn, killed = Counter(mutant.room for mutant in mutants), Counter[str]()
    for mutant in mutants:
        began = time.perf_counter()
        names = _tests_of(mutant, tests)
        dead = bool(names) and _in_child(lambda mutant=mutant, names=names: _run(mutant, names), 5 * SECONDS) != 0
        killed[mutant.room] += dead
        seconds = time.perf_counter() - began
        write(f"{'killed' if dead else 'SURVIVED'} {seconds:.0f} s, {len(names)} tests: {mutant}\n")
    for room, count in drawn.items():
        write(f"{room}: {killed[room]} of {count} killed\n")
    write(f"all: {killed.total()} of {drawn.total()} killed, {killed.total() / drawn.total():.1%}\n")


def _tests_of(mutant: Mutant, tests: dict[str, Any]) -> list[str]:
    """The tests of the mutant's room that call its function, in the order in which they are run."""
    function, mirror = f"{mutant.path}:{mutant.function}", f"test_{mutant.path.name}"
    passed = {
        name: about for name, about in tests.items() if about.get("passed") and name.startswith(TESTS[mutant.room])
    }
    reached = {name: about for name, about in passed.items() if function in about["functions"]}
    chosen = reached or passed  # what runs at import is called by no test
    found = [(mirror not in name, about["fixtures"] + about["seconds"], name) for name, about in chosen.items()]
    spent, names = 0.0, []
    for _, seconds, name in sorted(found):
        if spent + seconds <= SECONDS:
            spent += seconds
            names.append(name)
    return names


def _observed(places: list[str]) -> dict[str, Any]:
    """What is known of the tests; files that changed since they were last observed are run."""
    known, new = FOLDER / "reach.json", FOLDER / "new.json"
    tests = json.loads(known.read_text(encoding="utf-8")) if known.exists() else {}
    since = known.stat().st_mtime if tests else 0.0
    files = [file for place in places for file in sorted((ROOT / place).rglob("test_*.py") if (ROOT / place).is_dir()
             else [ROOT / place])]  # fmt: skip
    names = [str(file.relative_to(ROOT)) for file in files]
    seen = {name.partition("::")[0] for name in tests}
    changed = [name for name in names if name not in seen or (ROOT / name).stat().st_mtime > since]
    if changed:
        _in_child(lambda: _observe(changed, new), limit=3600)
        tests = {name: about for name, about in tests.items() if name.partition("::")[0] not in changed}
        tests |= json.loads(new.read_text(encoding="utf-8"))
        known.write_text(json.dumps(tests), encoding="utf-8")
    return tests


def _observe(files: list[str], path: Path) -> int:
    import pytest

    from tests.mutation.reach import Reach

    return int(pytest.main(["-q", "--continue-on-collection-errors", *files], plugins=[Reach(path)]))


class InOrder:
    """A pytest plugin: the tests in the order in which they are named, not file by file."""

    def __init__(self, names: list[str]) -> None:
        self.place = {name: i for i, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items.sort(key=lambda item: self.place.get(item.nodeid, len(self.place)))


def _run(mutant: Mutant, names: list[str]) -> int:
    """pytest's exit code with the mutant in place of its module."""
    import pytest

    loader, read = importlib.machinery.SourceFileLoader, importlib.machinery.SourceFileLoader.get_data
    compiled = f"{mutant.path.parent / '__pycache__' / mutant.path.stem}."

    def get_data(self: importlib.machinery.SourceFileLoader, path: str) -> bytes:
        if str(path).startswith(compiled):
            raise OSError("a mutant is compiled anew")
        return mutant.source if str(path) == str(mutant.path) else read(self, path)

    loader.get_data = get_data  # type: ignore[method-assign]
    sys.dont_write_bytecode = True
    return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *names], plugins=[InOrder(names)]))


def _in_child(work: Callable[[], int], limit: float) -> int:
    """The exit code of work done in a process of its own, its output in a file; -9 where it takes too long."""
    child = os.fork()
    if not child:
        output = os.open(FOLDER / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.setpgid(0, 0)
        code = 70
        try:
            code = work()
        finally:
            os._exit(code)
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -9


if __name__ == "__main__":
    main()
