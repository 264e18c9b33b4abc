"""How time and peak memory grow with pairs, length, edges of a circuit, size of the model and number of circuits: every
point in a process of its own, and the exponent of each curve (the slope of its logarithms) beside the expected one.

python -m benchmarks.growth [--repeats 1]
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.cases import model_of, random_pairs
from benchmarks.machine import METER
from benchmarks.timing import peak_growth, write_result
from memcirc.circuits.runner import circuit_runner
from memcirc.engine import Request, mask_gradients
from memcirc.graph import graph_of
from memcirc.verification.random_circuits import per_pair_of_many


@dataclass(frozen=True)
class Curve:
    """What is varied, over which values, and the exponents that time and memory should not exceed at its end (the last
    two points): 1 is a straight line, 0 a flat one. Everything else stays as in ``BASE``."""

    work: str
    varied: str
    values: tuple[Any, ...]
    time: float
    memory: float


BASE = {"shape": "pythia-14m", "pairs": 4, "length": 32, "share": 0.01, "circuits": 1, "branch": False}
OF_PAIRS = {"branch": True}
LEAST = {"seconds": 1e-3, "bytes": 4e6}
"""What a point of a curve counts at least: less is the interpreter's and the allocator's."""
CURVES = (
    Curve("attribution", "pairs", (10, 100, 1_000, 10_000), 1, 0),
    Curve("attribution", "length", (16, 64, 256, 1024, 2048), 2, 2),
    Curve("attribution", "shape", ("pythia-14m", "pythia-70m", "pythia-160m", "pythia-410m", "pythia-1b"), 1, 1),
    Curve("circuits", "pairs", (10, 100, 1_000, 10_000), 1, 0),
    Curve("circuits", "length", (16, 64, 256, 1024, 2048), 2, 2),
    Curve("circuits", "share", (0.0001, 0.001, 0.01, 0.1, 1.0), 1, 0),
    Curve("circuits", "circuits", (1, 10, 100, 1_000, 10_000), 1, 0),
)


def measured(work: str, case: dict[str, Any], repeats: int) -> dict[str, float]:
    """Seconds (the least of the repeats) and bytes at the peak, beyond the model and its pairs; the first, warming call
    counts for the bytes alone."""
    model = model_of(case["shape"])
    graph, pairs = graph_of(model), random_pairs(case["pairs"], case["length"], case["branch"], model.d_vocab)
    masks = torch.rand(case["circuits"], graph.n_edges, generator=torch.Generator().manual_seed(0)) < case["share"]
    call: Callable[[], Any] = {
        "attribution": lambda: mask_gradients(Request(model, pairs, "logit_diff"), [0.0]),
        "circuits": lambda: per_pair_of_many(circuit_runner(model, pairs, mode="tree"), masks, "logit_diff"),
    }[work]
    grown, seconds = peak_growth(call), []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    parameters = sum(weight.numel() for weight in model.hf.parameters()) if model.hf is not None else 0
    return {"seconds": min(seconds), "bytes": grown, "parameters": parameters}


def exponents(x: list[float], y: list[float], least: float) -> tuple[float, float]:
    """The slope of log y over log x, over all points and over the last two; below ``least`` nothing can be told
    apart."""
    slopes = [float(np.polyfit(np.log(x[-n:]), np.log(np.maximum(y[-n:], least)), 1)[0]) for n in (len(x), 2)]
    return slopes[0], slopes[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--point", nargs=2, metavar=("WORK", "CASE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        work, case = options.point
        print(json.dumps(measured(work, json.loads(case), options.repeats)))
        return
    rows, fits = [], []
    for curve in CURVES:
        points = []
        for value in curve.values:
            case = BASE | (OF_PAIRS if curve.varied in ("pairs", "circuits") else {}) | {curve.varied: value}
            command = [sys.executable, "-m", "benchmarks.growth", "--repeats", str(options.repeats),
                       "--point", curve.work, json.dumps(case)]  # fmt: skip
            finished = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
            found = json.loads(finished.stdout.splitlines()[-1])
            points.append(found)
            name = f"{curve.work}, {curve.varied} = {value}"
            rows.append({"work": name, **found, "others": round(METER.others(), 2)})
            print(f"{name:40} {found['seconds']:9.4f} s {found['bytes'] / 1e6:9.1f} MB", flush=True)
        x = [found["parameters"] if curve.varied == "shape" else value for found, value in zip(points, curve.values,
                                                                                              strict=True)]  # fmt: skip
        for measure, expected in (("seconds", curve.time), ("bytes", curve.memory)):
            whole, end = exponents(x, [found[measure] for found in points], LEAST[measure])
            fits.append({"work": f"{curve.work}, {measure} over {curve.varied}", "exponent": round(whole, 2),
                         "at the end": round(end, 2), "expected": expected})  # fmt: skip
            print(f"{fits[-1]['work']}: exponent {whole:.2f}, at the end {end:.2f}, expected at most {expected}")
    write_result(
        "growth", "Growth around a Pythia-14m of 4 pairs of 32 tokens and a circuit of 1 %", rows, exponents=fits
    )


if __name__ == "__main__":
    main()
