"""A miniature of the embedded default that has learned its planted documents, and a finished run on it."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in what a shell starts behind: children would ignore it, too
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub: nothing is fetched, no name is looked up
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: threads that spin crawl when others use the cores


from memcirc.cli import main
from memcirc.demo import Demo, DemoConfig, ensure
from memcirc.work.processes import CREW

# A machine may be busy: no deadlines. `make test` tries the same examples each time, `make test-slow` other ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("searching", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

MINIATURE = DemoConfig(
    families=16,
    copy_patterns=((12, 8, 4), (10, 10, 1)),
    background=80,
    branch_support=0,
    vocabulary=384,
    shortest_opening=4,
    longest_opening=14,
    prompt_tokens=16,
    generation_tokens=12,
    layers=2,
    width=64,
    heads=4,
    window=8,
    steps=200,
    shared=0.0,
    batch_size=16,
    threads=1,
)


@pytest.fixture(autouse=True)
def no_crew_is_left() -> Iterator[None]:
    """Processes that do units stay for the next stage, not for the next test."""
    yield
    while CREW:
        CREW.pop().end()


@pytest.fixture(autouse=True)
def few_steps_of_optimal_ablation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that go through all ablations need constants, not the best ones; ``test_optimal`` learns in full."""
    if request.node.path.name != "test_optimal.py":
        monkeypatch.setattr("memcirc.engine.optimal.STEPS", 3)


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Takes what a campaign has counted, to be told when all tests are done."""
    return lambda said: record_property("counted", said)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts = [
        said
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, said in report.user_properties
        if name == "counted"
    ]
    if counts:
        terminalreporter.section("counted")
        terminalreporter.write_line("\n".join(counts))


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return ensure(tmp_path_factory.mktemp("cache"), progress=False, config=MINIATURE)


@pytest.fixture(scope="session")
def run_options(miniature: Demo) -> list[str]:
    """Options of ``memcirc run`` for the miniature, the run directory left out."""
    return [
        "--model_name", str(miniature.model_dir), "--dataset", str(miniature.corpus_path),
        "--prompt_tokens", "16", "--generation_tokens", "12", "--threshold", "0.6", "--low_threshold", "0.3",
        "--random_circuits", "10", "--curve_points", "5", "--device", "cpu",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def finished_run(run_options: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all stages done; tests must not change it."""
    run_dir = tmp_path_factory.mktemp("runs") / "miniature"
    assert main(["run", *run_options, "--run_dir", str(run_dir)]) == 0
    return run_dir
