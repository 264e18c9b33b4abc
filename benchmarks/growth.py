"""How time grows with pairs, length, circuit size and model size, against plain passes of the transformers model.

python -m benchmarks.growth [--repeats 3]
"""

from typing import Any

from benchmarks.cases import model_of, random_pairs
from benchmarks.circuits import top
from benchmarks.peers import forward_backward, plain_forward
from benchmarks.timing import Row, interleaved, options, print_table, write_result
from memcirc.engine import Request, mask_gradients, prepare
from memcirc.graph import graph_of
from memcirc.interventions import RunSettings
from memcirc.models import Model

BASE = {"shape": "gpt2-half", "pairs": 8, "length": 50, "share": 0.01}
CURVES = {
    "pairs": (2, 8, 32),
    "length": (10, 50, 150),
    "share": (0.001, 0.01, 0.1, 0.5, 1.0),
    "shape": ("gpt2-tiny", "gpt2-half", "gpt2-small"),
}


def measure(model: Model, n_pairs: int, length: int, share: float, label: str, repeats: int, clock: str) -> list[Row]:
    pairs = random_pairs(n_pairs, length, False, model.d_vocab)
    scores = mask_gradients(Request(model, pairs, "logit_diff"), [0.5])
    kept = top(scores, max(1, round(share * graph_of(model).n_edges)))
    runner = prepare(model, pairs, RunSettings("tree"))
    calls = {
        "eap": lambda: mask_gradients(Request(model, pairs, "logit_diff"), [0.0]),
        "passes": lambda: forward_backward(model, pairs),
        "circuit": lambda: runner.logits(kept),
        "plain": lambda: plain_forward(model, pairs),
    }
    taken = interleaved(calls, dict.fromkeys(calls, repeats), clock)
    return [
        Row(f"eap, {label}", taken["eap"], taken["passes"], "fwd-bwd", at_most=True),
        Row(f"one circuit, {label}", taken["circuit"], taken["plain"], "plain forward", at_most=True),
    ]


def main() -> None:
    chosen = options(__doc__, repeats=3, peer_repeats=0).parse_args()
    rows, model, shape = [], None, None
    for name, values in CURVES.items():
        for value in values:
            case: dict[str, Any] = {**BASE, name: value}
            if model is None or shape != case["shape"]:
                shape = case["shape"]
                model = model_of(shape)
            rows += measure(
                model, case["pairs"], case["length"], case["share"], f"{name} = {value}", chosen.repeats, chosen.clock
            )
    print_table(f"Growth around {BASE}", rows)
    write_result("growth", rows, base=BASE)


if __name__ == "__main__":
    main()
