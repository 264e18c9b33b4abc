"""What the two models recite: of the true answers, from prompts slightly changed, and under a patch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from memcirc.models import Model
from memcirc.pairs.tokenizing import prompt_ids
from memcirc.patching.generation import Mirrored, patched_generation
from memcirc.patching.restoring import Restored, combined_patch
from memcirc.patching.sites import Site
from memcirc.studies.pii.results import Recall
from memcirc.studies.pii.samples import OTHERS, Sample
from memcirc.studies.pii.two_models import EXACT, TwoModels

GENERATED = 4
VARIANTS = ("as it is", "a trailing space", "a colon", "lower case")


def recall(two: TwoModels) -> list[Recall]:
    """How much each model recites, by group: samples not to be recited, copies, type, and all that were injected."""
    rows = []
    for name, model in two.by_name.items():
        exact, logprob = two.recites(model, two.samples)
        groups: dict[str, list[int]] = {}
        for i, sample in enumerate(two.samples):
            if not sample.injected:
                groups.setdefault(OTHERS, []).append(i)
                continue
            if sample.copies is not None:
                groups.setdefault(f"copies {sample.copies}", []).append(i)
            if sample.kind:
                groups.setdefault(f"type {sample.kind}", []).append(i)
            groups.setdefault("all injected", []).append(i)
        rows += [
            Recall(name, group, len(m), int(exact[m].sum()), float(logprob[m].mean())) for group, m in groups.items()
        ]
    return rows


def _changed(prompt: str, variant: str) -> str:
    changes = {"a trailing space": f"{prompt} ", "a colon": f"{prompt}:", "lower case": prompt.lower()}
    return changes.get(variant, prompt)


def variants(two: TwoModels, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """How many answers the target still recites, freely generating, when the prompt is slightly changed."""
    tokenizer = two.target.tokenizer
    rows: list[dict[str, Any]] = []
    recited = [s for s, exact in zip(samples, two.recites(two.target, samples)[0], strict=True) if exact]
    for variant in VARIANTS:
        hits, shown = 0, ""
        for sample in recited:
            ids = torch.tensor([prompt_ids(tokenizer, _changed(sample.prompt, variant))], device=two.target.device)
            text = _generated(two, ids, len(sample.answer_ids) + 1, [], into=two.target)
            hits += text.strip().startswith(sample.answer.strip())
            shown = shown or text.strip()
        rows.append({"prompt": variant, "recited": hits, "of": len(recited), "first answer": shown})
    return rows


def _generated(two: TwoModels, ids: Tensor, n: int, sites: Sequence[Site], into: Model) -> str:
    tokens = patched_generation(into.weights, ids, n, Mirrored(two.target.weights, sites))
    return into.decode(tokens[0].tolist())


def generations(
    two: TwoModels, samples: Sequence[Sample], restored: Restored, n_tokens: int
) -> tuple[list[dict[str, str]], float]:
    """What both models write freely, and the control with the restoring set patched at every step; and the share of
    passages on which the teacher-forced exact match says the same as the generated text."""
    sites = [where for where in two.sites if where.hook in restored.labels]
    forced = two.sweep([combined_patch(sites)], samples).values[EXACT][0] > 0
    rows: list[dict[str, str]] = []
    same = 0
    for sample, exact in zip(samples, forced, strict=True):
        ids = torch.tensor([sample.prompt_ids], device=two.control.device)
        n = len(sample.answer_ids)
        tokens = patched_generation(two.control.weights, ids, n, Mirrored(two.target.weights, sites))
        same += (tuple(tokens[0].tolist()) == sample.answer_ids) == bool(exact)
        if len(rows) < GENERATED:
            rows.append(
                {
                    "prompt": sample.prompt,
                    "truth": sample.answer.strip(),
                    "target": _generated(two, ids, min(n, n_tokens), [], two.target).strip(),
                    "control": _generated(two, ids, min(n, n_tokens), [], two.control).strip(),
                    "control, patched": two.control.decode(tokens[0].tolist()[:n_tokens]).strip(),
                }
            )
    return rows, same / len(samples)
