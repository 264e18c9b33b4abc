"""What the two models hold on the passages, nothing patched: attention, direct effects, separation of passages."""

from collections.abc import Sequence

import numpy as np
import torch

from memcirc.models import Model
from memcirc.patching.direct import direct_effects
from memcirc.patching.prompts import prompts_of
from memcirc.patching.runs import run
from memcirc.studies.pii.projections import pca, silhouette
from memcirc.studies.pii.results import Separation
from memcirc.studies.pii.samples import Sample, pairs_of, tokens_of
from memcirc.studies.pii.two_models import TwoModels
from memcirc.studies.words import tokens

HEADS_SHOWN = 3


def attention_patterns(two: TwoModels, sample: Sample, heads: np.ndarray) -> tuple[dict[str, np.ndarray], list[str]]:
    """Attention of the heads with the largest effects, in both models, over one passage."""
    panels: dict[str, np.ndarray] = {}
    ids: list[int] = []
    order = np.argsort(-heads[0], axis=None)[:HEADS_SHOWN]
    runs = {}
    for name, model in two.by_name.items():
        prompts, _ = prompts_of(model, pairs_of([sample]), whole_answers=True)
        runs[name] = run(model.weights, prompts, ["pattern"]).found
        ids = prompts.ids[0].tolist()
    for flat in order:
        layer, head = (int(i) for i in np.unravel_index(flat, heads[0].shape))
        for name, found in runs.items():
            title = f"{name}, head {layer}.{head} ({heads[0, layer, head]:+.2f} nats)"
            panels[title] = found["pattern", layer][0, head].double().cpu().numpy()
    return panels, tokens(two.target, ids)


def direct_parts(model: Model, samples: Sequence[Sample]) -> dict[str, np.ndarray]:
    """Mean direct effect on the logit of the answer's tokens (against the mean logit), every token of every answer."""
    pairs = tokens_of(samples)
    answers = torch.tensor([pair.answer_ids[0] for pair in pairs], device=model.device)
    found = direct_effects(model.weights, prompts_of(model, pairs)[0], answers, against_mean=True)
    parts = {"embed": found.embed, "heads": found.heads, "mlps": found.mlps, "biases": found.biases}
    return {name: value.double().mean(0).cpu().numpy() for name, value in parts.items()}


def separation(two: TwoModels, analysed: Sequence[Sample]) -> Separation | None:
    """None where there are fewer than two passages of either kind."""
    others = [s for s in two.samples if not s.injected]
    if min(len(others), len(analysed)) < 2:
        return None
    samples, groups = [*analysed, *others], np.array([True] * len(analysed) + [False] * len(others))
    points: dict[str, list[np.ndarray]] = {}
    for name, model in two.by_name.items():
        prompts, _ = prompts_of(model, pairs_of(samples))
        found = run(model.weights, prompts, ["resid_pre"])
        rows = torch.arange(len(samples), device=model.device)
        layers = [
            found.found["resid_pre", layer][rows, prompts.read[:, 0]] for layer in range(1, len(model.weights.blocks))
        ]
        points[name] = [x.double().cpu().numpy() for x in (*layers, found.final[:, 0])]
    scores = {name: tuple(silhouette(p, groups) for p in layers) for name, layers in points.items()}
    best = int(np.argmax(scores["target"]))
    projected = {name: pca(layers[best]) for name, layers in points.items()}
    return Separation(
        layers=tuple(range(1, len(points["target"]) + 1)),
        silhouettes=scores,
        best_layer=best + 1,
        memorized=groups,
        pca={name: coordinates for name, (coordinates, _) in projected.items()},
        pca_shares={name: shares for name, (_, shares) in projected.items()},
    )
