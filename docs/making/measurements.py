"""The page of measurements, from what ``make bench`` wrote to ``benchmarks/results``, and its drawing.

Every result is a file: a title, the machine, and rows; see ``benchmarks/timing.py``.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import BUSY
from benchmarks.reasons import reason_of
from benchmarks.timing import RESULTS

DRAWING = "assets/measurements.svg"
HEAD = f"""# Measured

What `make bench` measures: memcirc beside AutoCircuit, TransformerLens, transformers' `generate`, and plain passes of
the same model, in turn and in one process. Ratios carry over to other machines, seconds do not. Every target was set
before it was measured, and a missed one stands here as missed.

![Every measurement with a target: how far it is from it.]({DRAWING})

A dot right of the line meets its target: at 2, work that was to be 15 times as fast as the peer is 30 times as fast.

Why targets were missed stands [below](#what-was-missed-and-why), in operations and bytes.

"Faster than" is the peer's time over ours, "of" ours over the peer's; ✓ met, ✗ missed, no mark where there was no
target. A row with * was measured while other processes used more than {BUSY} cores.
"""


def results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Every result that says on which machine it was measured, by name."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return [result for result in found if "machine" in result]


def page(found: Sequence[dict[str, Any]]) -> str:
    sections = [line for result in found for line in _section(result)]
    return "\n".join([HEAD, *_missed(found), *sections]) + "\n"


def _missed(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Each reason once, behind the rows that it is of."""
    told: dict[str, list[str]] = {}
    for result in found:
        for row in result["rows"]:
            if row.get("met") is False:
                of = f", {result['shape']}" if "shape" in result else ""
                told.setdefault(reason_of(row["work"]), []).append(f"*{row['work']}*{of}: {row['ratio']:.2f}")
    yield "\n## What was missed, and why\n"
    yield from (f"- {'; '.join(dict.fromkeys(rows))}. {reason}.\n" for reason, rows in told.items())


def _section(result: dict[str, Any]) -> Iterator[str]:
    yield f"\n## {result['title']}\n"
    yield _measured_on(result) + "\n"
    timed = [row for row in result["rows"] if "ours" in row]
    sized = [row for row in result["rows"] if "bytes" in row]
    if timed:
        yield "| work | ours | peer | | ratio | target | |"
        yield "| --- | ---: | ---: | --- | ---: | ---: | --- |"
        yield from map(_timed, timed)
    if sized:
        yield "| work | seconds | megabytes at the peak |"
        yield "| --- | ---: | ---: |"
        yield from map(_sized, sized)
    if "exponents" in result:
        yield "\n| curve | exponent | between the last two points | expected at most |"
        yield "| --- | ---: | ---: | ---: |"
        for fit in result["exponents"]:
            yield f"| {fit['work']} | {fit['exponent']} | {fit['at the end']} | {fit['expected']} |"


def _measured_on(result: dict[str, Any]) -> str:
    on = result["machine"]
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in on["versions"].items())
    warning = " **The machine was busy when this was written.**" if on["load"] > on["cores"] + 1 else ""
    single = " **One core.**" if on["cores"] == 1 else ""
    return (
        f"{on['processor']}, {on['cores']} cores, {on['memory_gb']} GB, {on['device']}, {result['threads']} threads, "
        f"load {on['load']} at the end; Python {on['python']}, {versions}.{single}{warning}"
    )


def _star(row: dict[str, Any]) -> str:
    return " *" if row.get("others", 0) > BUSY else ""


def _sized(row: dict[str, Any]) -> str:
    name = row["work"] + (f", {row['value']:,}" if "value" in row else "")
    seconds = f"{row['seconds']:.3f}" if "seconds" in row else ""
    return f"| {name}{_star(row)} | {seconds} | {row['bytes'] / 1e6:,.0f} |"


def _timed(row: dict[str, Any]) -> str:
    mark = {True: "✓", False: "✗", None: ""}[row["met"]]
    peer = ratio = way = target = ""
    if row["peer"] is not None:
        peer, way = f"{row['peer']:.3f}&nbsp;s", f"{'of' if row['at_most'] else 'faster than'} {row['peer_name']}"
        ratio = f"{'' if row['at_most'] else '×'}{row['ratio']:.2f}"
    if row["target"] is not None:
        target = f"{'≤' if row['at_most'] else '≥'} {row['target']:g}"
    return f"| {row['work']}{_star(row)} | {row['ours']:.3f}&nbsp;s | {peer} | {way} | {ratio} | {target} | {mark} |"


def with_targets(found: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    """Each measurement that has a target, and how many times better than it (below 1: missed), as they stand."""
    dots = []
    for result in found:
        shape = result.get("shape", "gpt2-small")
        of = "" if shape == "gpt2-small" else f", {shape}"
        for row in result["rows"]:
            if row.get("met") is not None:
                times = row["target"] / row["ratio"] if row["at_most"] else row["ratio"] / row["target"]
                dots.append((f"{row['work']} ({row['peer_name']}{of})", times))
    return dots


def drawing(found: Sequence[dict[str, Any]]) -> str:
    """A dot for each measurement with a target, on a logarithmic axis."""
    from memcirc.report.figures import CHANCE, FOUND, INK, MUTED, styled, svg
    from memcirc.report.plotting import Figure

    dots = with_targets(found)[::-1]

    @styled
    def drawn() -> Figure:
        figure = Figure(figsize=(9, 0.6 + 0.19 * len(dots)), layout="constrained")
        axes = figure.subplots()
        for place, (_, times) in enumerate(dots):
            axes.plot([1, times], [place, place], color=MUTED, linewidth=0.8)
            axes.plot(times, place, "o", color=FOUND if times >= 1 else CHANCE, markersize=4)
        axes.axvline(1, color=INK, linewidth=1)
        axes.set_yticks(range(len(dots)), [name for name, _ in dots], fontsize=7)
        axes.set(xscale="log", xlabel="times better than the target", ylim=(-1, len(dots)))
        return figure

    return svg(drawn()).replace("<svg ", '<svg style="background:#fff" ', 1)
