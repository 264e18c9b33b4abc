"""Attribution and circuits of large shapes on one GPU: ours beside plain passes, and AutoCircuit where it fits.

python -m benchmarks.gpu [--shapes gpt2-small pythia-1.4b llama-8b] [--dtypes float32 bfloat16] [--device cuda]

Runs unattended; what does not fit is said and left out. Profiles, the twenty operations that take longest, are kept as
``results/profile-*.txt``.
"""

import argparse
from collections.abc import Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks import attribution, circuits
from benchmarks.cases import model_of, random_pairs
from benchmarks.machine import has_peer
from benchmarks.timing import RESULTS, Row, report
from memcirc.attribution.attribute import attribute
from memcirc.models import Model
from memcirc.work.fitting import ran_out

BESIDE_PEER = ("gpt2-small",)
"""Shapes of which AutoCircuit's mask for every edge and position fits into a GPU."""
PAIRS, MOST_PASSES = 8, 1.6


def measured(model: Model, peer_repeats: int) -> Iterator[Row]:
    """Rows of one model, on pairs that differ everywhere."""
    yield from attribution.measure(model, PAIRS, False, 3, peer_repeats, "wall", MOST_PASSES)
    for mode in ("tree", "edge"):
        yield from circuits.measure(model, PAIRS, False, mode, 3, peer_repeats, "wall")


def keep_profile(model: Model, name: str) -> None:
    """Write down which operations one attribution spends its time on."""
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if model.device.type == "cuda" else [])]
    with profile(activities=kinds) as seen:
        attribute(model, random_pairs(PAIRS, 50, False, model.d_vocab), "mask-ig", steps=5)
    by = f"self_{'cuda' if model.device.type == 'cuda' else 'cpu'}_time_total"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"profile-{name}.txt").write_text(seen.key_averages().table(by, row_limit=20) + "\n", encoding="utf-8")


def measure_shape(shape: str, dtype: str, device: str) -> None:
    """Measure, write down and profile one shape in one precision; where memory ends, what was measured until then."""
    name = f"{torch.device(device).type}-{shape}-{dtype}"
    with_peer = shape in BESIDE_PEER and dtype == "float32" and has_peer("auto_circuit")
    rows: list[Row] = []
    try:
        model = model_of(shape, device, dtype)
        for row in measured(model, int(with_peer)):
            rows.append(row)
        keep_profile(model, name)
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        print(f"{shape} in {dtype} does not fit, or not all of it: {str(error).splitlines()[0]}")
    report(name, f"{shape}, {dtype}, {PAIRS} pairs of 50 tokens, on {device}", rows, shape=shape, device=device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["gpt2-small", "pythia-1.4b", "llama-8b"])
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        raise SystemExit("no CUDA device was found; --device cpu measures the same work on the processor")
    for shape in options.shapes:
        for dtype in options.dtypes:
            measure_shape(shape, dtype, options.device)


if __name__ == "__main__":
    main()
