"""Time and memory of calls, tables with targets, results as JSON."""

import argparse
import json
import resource
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.machine import BUSY, METER, has_peer, machine

RESULTS = Path(__file__).parent / "results"
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Row:
    """One line of a table: what was done, how long it and its peer took (seconds, medians; None for a peer that is not
    there), and the target for the ratio. ``at_most``: the target is a ceiling on ours over the peer's, not a floor on
    the peer's over ours. ``others``: cores that worked for other processes since the row before."""

    work: str
    ours: float
    peer: float | None
    peer_name: str
    target: float | None = None
    at_most: bool = False
    others: float = field(default_factory=METER.others)

    @property
    def ratio(self) -> float | None:
        if self.peer is None:
            return None
        return self.ours / self.peer if self.at_most else self.peer / self.ours

    @property
    def met(self) -> bool | None:
        if self.target is None or self.ratio is None:
            return None
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "others": round(self.others, 2), "ratio": self.ratio, "met": self.met}


def options(description: str | None, peer: str = "auto_circuit", **defaults: int) -> argparse.ArgumentParser:
    """The options that the timings share, with each script's numbers of repeats; none of a peer that is not there."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="gpt2-small", help="a shape of benchmarks.cases, or a model to load")
    parser.add_argument("--repeats", type=int, default=defaults["repeats"])
    peer_repeats = defaults["peer_repeats"]
    parser.add_argument(
        "--peer-repeats", type=int, default=peer_repeats if peer_repeats and has_peer(peer) else 0, help="0: none"
    )
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
    return {name: statistics.median(taken) for name, taken in times.items() if taken}


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


def print_table(title: str, rows: Sequence[Row]) -> None:
    print(f"\n{title}")
    print(f"{'work':66} {'ours':>9} {'peer':>9} {'ratio':>8} {'target':>8}  peer")
    for row in rows:
        target = "-" if row.target is None else f"{'<=' if row.at_most else '>='} {row.target:g}"
        peer = f"{'-':>9} {'-':>8}" if row.peer is None else f"{row.peer:8.3f}s {row.ratio:8.2f}"
        said = ["missed"] if row.met is False else []
        said += [f"under load: others used {row.others:.1f} cores"] if row.others > BUSY else []
        tail = f"  ({'; '.join(said)})" if said else ""
        print(f"{row.work:66} {row.ours:8.3f}s {peer} {target:>8}  {row.peer_name}{tail}")


def result_name(name: str, shape: str) -> str:
    """The file of a result: that of the default shape has no more to its name."""
    return name if shape == "gpt2-small" else f"{name}-{shape}"


def report(name: str, title: str, rows: Sequence[Row], **facts: Any) -> None:
    """Print the table, and keep it as ``results/NAME.json`` with what it was measured on."""
    print_table(title, rows)
    write_result(name, title, [row.to_json() for row in rows], **facts)


def write_result(name: str, title: str, rows: Sequence[Mapping[str, Any]], **facts: Any) -> None:
    RESULTS.mkdir(exist_ok=True)
    content = {"title": title, "machine": machine(), "threads": torch.get_num_threads(), **facts, "rows": list(rows)}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
