"""bfloat16 beside float32 on the same random weights: time, and by how much scores and circuits differ.

python -m benchmarks.precision [--shape gpt2-small] [--device cpu] [--repeats 3]

The weights are rounded to bfloat16 in both, so that what differs is arithmetic alone. Products are faster where the
processor has instructions for them; otherwise bfloat16 saves memory and costs time.
"""

from typing import Any

from scipy.stats import spearmanr
from torch import Tensor

from benchmarks.cases import model_of, random_pairs
from benchmarks.timing import Row, interleaved, options, report, result_name
from memcirc.attribution.attribute import attribute
from memcirc.circuits.runner import circuit_runner
from memcirc.models import load_model

SHARE = 0.01


def overlap(values: Tensor, others: Tensor, n: int) -> float:
    """Which part of one's first n edges are among the other's."""
    first, second = (set(each.abs().topk(n).indices.tolist()) for each in (values, others))
    return len(first & second) / n


def main() -> None:
    parser = options(__doc__, repeats=3, peer_repeats=0)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    half = model_of(chosen.shape, chosen.device, "bfloat16")
    assert half.hf is not None
    exact = load_model(half.hf, device=chosen.device, dtype="float32")
    pairs = random_pairs(8, 50, False, exact.d_vocab)
    scores = {name: attribute(model, pairs, "mask-ig", steps=5) for name, model in (("f32", exact), ("bf16", half))}
    n_edges = round(SHARE * len(scores["f32"].values))
    runners = {name: circuit_runner(model, pairs, mode="tree") for name, model in (("f32", exact), ("bf16", half))}
    mask = scores["f32"].top(n_edges).mask(scores["f32"].graph)[None]
    calls: dict[str, Any] = {}
    for name, model in (("f32", exact), ("bf16", half)):
        calls[f"scores {name}"] = lambda model=model: attribute(model, pairs, "mask-ig", steps=5)
        calls[f"circuit {name}"] = lambda name=name: runners[name].per_pair(mask)
    taken = interleaved(calls, dict.fromkeys(calls, chosen.repeats), chosen.clock)
    rows = [
        Row("mask-ig k=5, bfloat16", taken["scores bf16"], taken["scores f32"], "float32"),
        Row(f"tree, {n_edges} edges, bfloat16", taken["circuit bf16"], taken["circuit f32"], "float32"),
    ]
    values = {name: each.values.float() for name, each in scores.items()}
    faithfulness = {name: float(runner.faithfulness(mask)[0]) for name, runner in runners.items()}
    facts = {
        "rank_correlation": float(spearmanr(values["bf16"].abs().cpu(), values["f32"].abs().cpu()).statistic),
        "overlap_of_the_circuits": overlap(values["bf16"], values["f32"], n_edges),
        "faithfulness_float32": faithfulness["f32"],
        "faithfulness_bfloat16": faithfulness["bf16"],
    }
    title = f"bfloat16 beside float32, {chosen.shape}, 8 pairs of 50 tokens"
    report(result_name("precision", chosen.shape), title, rows, shape=chosen.shape, device=chosen.device, **facts)
    print("\n".join(f"{name.replace('_', ' ')}: {value:.4f}" for name, value in facts.items()))


if __name__ == "__main__":
    main()
