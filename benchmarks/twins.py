"""Against a twin: attribution and a circuit beside the same under resample, and generation with a circuit taken out
beside plain decoding.

python -m benchmarks.twins [--shape gpt2-small] [--repeats 3] [--clock wall]
"""

from functools import partial

import torch

from benchmarks.cases import model_of, random_pairs
from benchmarks.timing import Row, interleaved, options, report, result_name
from memcirc import attribute, beside, circuit_runner
from memcirc.engine.decoding import decode
from memcirc.memorization.generation import greedy

N_TOKENS = 32


def main() -> None:
    chosen = options(__doc__, repeats=3, peer_repeats=0).parse_args()
    model, twin = model_of(chosen.shape), model_of(chosen.shape, seed=1)
    model = beside(model, twin)
    pairs = random_pairs(8, 50, False, model.d_vocab)
    scored = {
        ablation: partial(attribute, model, pairs, steps=5, ablation=ablation) for ablation in ("twin", "resample")
    }
    masks = scored["resample"]().top(model.weights.graph.n_edges // 100).mask(model.weights.graph)[None]
    runners = {ablation: circuit_runner(model, pairs, mode="tree", ablation=ablation) for ablation in scored}
    prompts = torch.tensor([pair.clean_ids for pair in pairs])
    calls = {
        **{f"mask-ig {name}": call for name, call in scored.items()},
        **{f"circuit {name}": partial(runner.logits, masks) for name, runner in runners.items()},
        "taken out": partial(decode, model, prompts, prompts, ~masks[0], N_TOKENS, "twin"),
        "decoding": lambda: [greedy(each, prompts, N_TOKENS) for each in (model, twin)],
    }
    taken = interleaved(calls, dict.fromkeys(calls, chosen.repeats), chosen.clock)
    work = f"{N_TOKENS} tokens, a circuit taken out"
    rows = [
        Row("mask-ig k=5 against a twin", taken["mask-ig twin"], taken["mask-ig resample"], "resample", 1.6, True),
        Row("1 % circuit against a twin", taken["circuit twin"], taken["circuit resample"], "resample", None, True),
        Row(work, taken["taken out"], taken["decoding"], "decoding with both", 1.0, True),
    ]  # fmt: skip
    title = f"Against a twin, {chosen.shape}, 8 pairs of 50 tokens that differ everywhere"
    report(result_name("twins", chosen.shape), title, rows, shape=chosen.shape, clock=chosen.clock)


if __name__ == "__main__":
    main()
