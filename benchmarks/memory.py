"""Peak memory, each engine and each size in a process of its own.

python -m benchmarks.memory [--shape gpt2-small] [--no-peer]
"""

import argparse
import gc
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import AutoModelForCausalLM

from benchmarks.cases import SHAPES, model_of, random_pairs
from benchmarks.machine import METER, has_peer
from benchmarks.peers import AutoCircuit
from benchmarks.timing import peak_growth, write_result
from memcirc.cli import main as main_of_memcirc
from memcirc.demo import ensure
from memcirc.engine import Request, mask_gradients, prepare
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.models import load_model

CASES = (
    ("loading", 0, False),
    ("attribution", 8, False),
    ("attribution", 100, True),
    ("attribution", 1000, True),
    ("runner", 100, True),
    ("runner", 1000, True),
    ("auto-circuit", 8, False),
    ("windows", 20_000, False),
    ("windows", 200_000, False),
)


def measure(engine: str, shape: str, n_pairs: int, branch: bool) -> int:
    """Bytes by which this process grows, beyond model and pairs."""
    import torch

    if engine == "windows":
        return scoring_growth(n_pairs)
    if engine == "loading":
        return loading_growth()
    model = model_of(shape)
    pairs = random_pairs(n_pairs, 50, branch, model.d_vocab)
    if engine == "attribution":
        return peak_growth(lambda: mask_gradients(Request(model, pairs, "logit_diff"), [i / 5 for i in range(6)]))
    if engine == "runner":
        generator = torch.Generator().manual_seed(0)
        kept = torch.rand(1, graph_of(model).n_edges, generator=generator) < 0.01
        return peak_growth(lambda: prepare(model, pairs, RunSettings("edge")).logits(kept, answers_only=True))
    return peak_growth(lambda: AutoCircuit(model, pairs).mask_ig(5))


def loading_growth() -> int:
    """The same for loading SmolLM2-135M's shape (0.54 GB of float32 weights) from its files, fingerprint included."""
    with tempfile.TemporaryDirectory() as folder:
        hf = AutoModelForCausalLM.from_config(SHAPES["smollm2-135m"])
        hf.save_pretrained(folder)
        load_model(hf.eval(), device="cpu")  # what is imported on the way is not the weights'
        del hf
        gc.collect()
        return peak_growth(lambda: load_model(folder, device="cpu").fingerprint)


def write_made_up(path: Path, n_lines: int, rng: random.Random) -> None:
    """A corpus of that many lines of numbers, each longer than a window of 64 tokens."""
    with path.open("w", encoding="utf-8") as file:
        for _ in range(n_lines):
            words = " ".join(str(rng.randrange(10**6)) for _ in range(40))
            file.write(json.dumps({"text": words}) + "\n")


def scoring_growth(n_windows: int) -> int:
    """The same for preparing and scoring as many windows of made-up text with the embedded model."""
    demo = ensure(Path("runs/cache"))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "corpus.jsonl"
        write_made_up(corpus, n_windows, random.Random(0))
        options = {
            "--run_dir": f"{folder}/run", "--model_name": str(demo.model_dir), "--dataset": str(corpus),
            "--prompt_tokens": "32", "--generation_tokens": "32", "--level": "exact",
        }  # fmt: skip
        return peak_growth(lambda: main_of_memcirc(["score", *(word for pair in options.items() for word in pair)]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="gpt2-small")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        engine, n_pairs, branch = CASES[options.case]
        print(measure(engine, options.shape, n_pairs, branch))
        return
    found, peer = [], not options.no_peer and has_peer("auto_circuit")
    print(f"Peak memory growth, {options.shape}, pairs of 50 tokens (target for attribution of 8 pairs: at most 1 GB),")
    print("of loading SmolLM2-135M's shape (target: 0.68 GB),")
    print("and of preparing and scoring windows (target: 200,000 within 0.2 GB of 20,000)")
    for index, (engine, n_pairs, branch) in enumerate(CASES):
        if engine == "auto-circuit" and not peer:
            continue
        command = [sys.executable, "-m", "benchmarks.memory", "--shape", options.shape, "--case", str(index)]
        finished = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
        growth = int(finished.stdout.split()[-1])
        found.append(
            {"work": engine, "value": n_pairs, "branch": branch, "bytes": growth, "others": round(METER.others(), 2)}
        )
        print(
            f"{engine:14} {n_pairs:6} {'branch' if branch else 'everywhere':10} {growth / 1e9:6.2f} GB",
            flush=True,
        )
    write_result("memory", f"Peak memory beyond model and pairs, {options.shape}, pairs of 50 tokens", found)


if __name__ == "__main__":
    main()
