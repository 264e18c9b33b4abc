"""Activation patching: our sweeps beside ``transformer_lens.patching``, and the study of two models beside its loop.

python -m benchmarks.patching [--shape gpt2-small] [--repeats 3] [--peer-repeats 1] [--clock wall]

The study of two models has a shape of its own and is measured with the default one. On other shapes the prompts differ
everywhere; a model of a billion parameters is swept by layer and position alone.
"""

import contextlib
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, GPTNeoXConfig

from benchmarks.cases import BILLION, model_of
from benchmarks.timing import Row, interleaved, options, report, result_name
from memcirc.models import Model, load_model
from memcirc.patching.patches import Patch
from memcirc.patching.sites import aliases, component_sites, distinct
from memcirc.patching.sweep import patch_sweep

LENGTH = 15
BY_ONE = {"resid_pre": 60.0, "head_all_pos_every": 20.0}
"""Sweeps of prompts that differ at one position, and how many times as fast as the peer they are to be."""
PEERS = {"resid_pre": "get_act_patch_resid_pre", "head_all_pos_every": "get_act_patch_attn_head_all_pos_every"}


def prompt_pair(d_vocab: int, differing: Sequence[int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """One clean and one corrupt prompt that differ at the given positions."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, d_vocab, (1, LENGTH), generator=generator)
    corrupt = clean.clone()
    corrupt[:, list(differing)] = (clean[:, list(differing)] + 1) % d_vocab
    return clean, corrupt


def contrasting(model: Model, clean: Tensor, corrupt: Tensor) -> tuple[int, int]:
    """The answers on which both prompts differ most: between two tokens drawn at random the ends nearly coincide."""
    change = (model.logits(clean) - model.logits(corrupt))[0, -1]
    return int(change.argmax()), int(change.argmin())


def peer(model: Model, name: str, clean: Tensor, corrupt: Tensor, answer: int, wrong: int) -> Tensor:
    """The sweep as TransformerLens does it: a full forward pass a site, its cache of the clean run included."""
    from transformer_lens import patching

    hooked = model.hooked

    def difference(logits: Tensor) -> Tensor:
        return logits[:, -1, answer].mean() - logits[:, -1, wrong].mean()

    def metric(logits: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return (difference(logits) - low) / (high - low)

    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        logits, cache = hooked.run_with_cache(clean, prepend_bos=False)
        high, low = difference(logits), difference(hooked(corrupt, prepend_bos=False))
        found: Tensor = getattr(patching, PEERS[name])(hooked, corrupt, cache, partial(metric, low=low, high=high))
    return found


def ours(model: Model, name: str, clean: Tensor, corrupt: Tensor, answer: int, wrong: int) -> Tensor:
    """The same sweep from one call, self-tests included."""
    return torch.from_numpy(patch_sweep(model, clean, corrupt, [answer], [wrong], sites=name).matrix())


def measure(
    model: Model, name: str, differing: Sequence[int], target: float, chosen: Any, what: str
) -> tuple[Row, float | None]:
    """The ratio, and the largest difference between both results (normalised); None without the peer."""
    clean, corrupt = prompt_pair(model.d_vocab, differing)
    answers = contrasting(model, clean, corrupt)
    results: dict[str, Tensor] = {}

    def keep(key: str, call: Callable[..., Tensor]) -> Callable[[], None]:
        def run() -> None:
            results[key] = call(model, name, clean, corrupt, *answers)

        return run

    taken = interleaved(
        {"ours": keep("ours", ours), "peer": keep("peer", peer)},
        {"ours": chosen.repeats, "peer": chosen.peer_repeats},
        chosen.clock,
        warm=chosen.shape == "gpt2-small",
    )
    row = Row(f"{name}, {what}", taken["ours"], taken.get("peer"), "transformer_lens.patching", target)
    if row.peer is None:
        return row, None
    measured = (
        results["peer"] != 0
    )  # of shared keys and values the peer patches as many as there are groups, and no more
    return row, float((results["ours"] - results["peer"].double())[measured].abs().max())


PII_SAMPLES, PROMPT, ANSWER = 20, 9, 6


def pii_models() -> tuple[Model, Model]:
    """Two models of the shape that the study of personal data trains, with random weights."""
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        config = GPTNeoXConfig(
            vocab_size=656, hidden_size=64, intermediate_size=256, num_hidden_layers=6, num_attention_heads=4,
            max_position_embeddings=64,
        )  # fmt: skip
        models.append(load_model(AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval(), "cpu"))
    return models[0], models[1]


def pii_ours(target: Model, control: Model, prompts: list[list[int]], answers: list[list[int]]) -> Tensor:
    """Every site of every sample, teacher-forced: log-probability of the answer [site, sample]."""
    sites = component_sites(control)
    leaders = aliases(sites, control, same_model=False)
    patches = [Patch((where,)) for where in distinct(sites, leaders)]
    sweep = patch_sweep(
        control, prompts, prompts, answers, sites=patches, source_model=target, metrics=("sequence_logprob",),
        normalize=False,
    )  # fmt: skip
    number = {patch.sites[0]: i for i, patch in enumerate(patches)}
    found = torch.from_numpy(sweep.values["sequence_logprob"])
    return found[[number[leaders[where]] for where in sites]]


def take_from(value: Tensor, hook: Any, cache: Any) -> Tensor:
    return cache[hook.name]


def pii_peer(target: Model, control: Model, prompts: list[list[int]], answers: list[list[int]]) -> Tensor:
    """The loop: for every sample and answer token the target's cache anew, then a patched run of the control a site."""
    names = [where.hook for where in component_sites(control)]
    total = torch.zeros(len(names), len(prompts), dtype=torch.float64)
    with torch.no_grad():
        for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
            for k, token in enumerate(answer):
                ids = torch.tensor([[*prompt, *answer[:k]]])
                _, cache = target.hooked.run_with_cache(ids, prepend_bos=False)
                for j, name in enumerate(names):
                    hook = (name, partial(take_from, cache=cache))
                    logits = control.hooked.run_with_hooks(ids, prepend_bos=False, fwd_hooks=[hook])
                    total[j, i] += logits[0, -1].log_softmax(-1)[token].double()
    return total


def measure_pii(chosen: Any) -> tuple[Row, float | None]:
    """The study's main sweep; the loop is timed on a few samples and scaled to all, since samples cost the same."""
    target, control = pii_models()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 656, (PII_SAMPLES, PROMPT + ANSWER), generator=generator).tolist()
    prompts, answers = [row[:PROMPT] for row in ids], [row[PROMPT:] for row in ids]
    few = 2
    results: dict[str, Tensor] = {}

    def run_ours() -> None:
        results["ours"] = pii_ours(target, control, prompts, answers)

    def run_peer() -> None:
        results["peer"] = pii_peer(target, control, prompts[:few], answers[:few])

    taken = interleaved(
        {"ours": run_ours, "peer": run_peer}, {"ours": chosen.repeats, "peer": chosen.peer_repeats}, chosen.clock
    )
    work, loop = f"85 sites x {PII_SAMPLES} samples, {ANSWER} answer tokens", "per-step loop, 2 samples scaled"
    if "peer" not in taken:
        return Row(work, taken["ours"], None, loop, 100.0), None
    difference = float((results["ours"][:, :few] - results["peer"]).abs().max())
    return Row(work, taken["ours"], taken["peer"] * PII_SAMPLES / few, loop, 100.0), difference


def main() -> None:
    chosen = options(__doc__, peer="transformer_lens", repeats=3, peer_repeats=1).parse_args()
    model = model_of(chosen.shape)
    everywhere, one = range(LENGTH), [LENGTH - 5]
    cases: list[tuple[str, Sequence[int], float, str]] = [("resid_pre", everywhere, 25.0, "differ everywhere")]
    if chosen.shape not in BILLION:
        cases.append(("head_all_pos_every", everywhere, 20.0, "differ everywhere"))
    measured = []
    if chosen.shape == "gpt2-small":
        cases += [(name, one, target, "differ at one position") for name, target in BY_ONE.items()]
        measured.append(measure_pii(chosen))
    measured += [measure(model, name, where, target, chosen, what) for name, where, target, what in cases]
    rows = [row for row, _ in measured]
    differences = {row.work: difference for row, difference in measured if difference is not None}
    for work, difference in differences.items():
        print(f"{work}: results differ by at most {difference:.1e} (normalised)")
    title = f"Activation patching, {chosen.shape}, one pair of {LENGTH} tokens"
    report(
        result_name("patching", chosen.shape),
        title,
        rows,
        shape=chosen.shape,
        clock=chosen.clock,
        differences=differences,
    )


if __name__ == "__main__":
    main()
