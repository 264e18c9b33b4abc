"""Time and memory of calls, tables with targets, results as JSON."""

import argparse
import json
import platform
import resource
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Row:
    """One line of a table: what was done, how long it and its peer took (seconds, medians), and the target for the
    ratio. ``at_most``: the target is a ceiling on ours over the peer's, not a floor on the peer's over ours."""

    work: str
    ours: float
    peer: float
    peer_name: str
    target: float | None = None
    at_most: bool = False

    @property
    def ratio(self) -> float:
        return self.ours / self.peer if self.at_most else self.peer / self.ours

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target


def options(description: str | None, **defaults: int) -> argparse.ArgumentParser:
    """The options that the timings share, with each script's numbers of repeats."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="gpt2-small", help="a shape of benchmarks.cases, or a model to load")
    parser.add_argument("--repeats", type=int, default=defaults["repeats"])
    parser.add_argument("--peer-repeats", type=int, default=defaults["peer_repeats"])
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: process time on one thread, for a machine that is shared"
    )
    return parser


def interleaved(
    calls: dict[str, Callable[[], Any]], repeats: dict[str, int], clock: str = "wall", warm: bool = True
) -> dict[str, float]:
    """Median seconds of each call; the calls take turns, so that a slow minute hurts all of them."""
    now = CLOCKS[clock]
    if clock == "cpu":
        torch.set_num_threads(1)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(max(repeats.values())):
        for name, call in calls.items():
            if turn >= repeats[name]:
                continue
            if warm and turn == 0 and repeats[name] > 1:
                call()
            synchronize()
            start = now()
            call()
            synchronize()
            times[name].append(now() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def resident_bytes() -> int:
    """Memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def peak_growth(call: Callable[[], Any]) -> int:
    """Bytes by which the process' memory grew above where it stood, at its highest (sampled each millisecond)."""
    before, highest, done = resident_bytes(), 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.001):
            highest = max(highest, resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(highest, resident_bytes()) - before


def print_table(title: str, rows: list[Row]) -> None:
    print(f"\n{title}")
    print(f"{'work':58} {'ours':>9} {'peer':>9} {'ratio':>8} {'target':>8}  peer")
    for row in rows:
        target = "-" if row.target is None else f"{'<=' if row.at_most else '>='} {row.target:g}"
        mark = {True: "", False: "  (missed)", None: ""}[row.met]
        print(f"{row.work:58} {row.ours:8.3f}s {row.peer:8.3f}s {row.ratio:8.2f} {target:>8}  {row.peer_name}{mark}")


def result_name(name: str, shape: str) -> str:
    """The file of a result: that of the default shape has no more to its name."""
    return name if shape == "gpt2-small" else f"{name}-{shape}"


def write_result(name: str, rows: list[Row], **facts: Any) -> None:
    RESULTS.mkdir(exist_ok=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    content = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": device,
        **facts,
        "rows": [{**asdict(row), "ratio": row.ratio, "met": row.met} for row in rows],
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
