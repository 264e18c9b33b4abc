"""Score every edge of a model on a set of pairs."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Unpack

import torch
from torch import Tensor

from memcirc.attribution.method import Method
from memcirc.attribution.methods import method_named
from memcirc.attribution.scores import EdgeScores
from memcirc.attribution.settings import AttributionOptions, AttributionSettings
from memcirc.config import check_switch
from memcirc.engine.frame import largest_batch
from memcirc.engine.request import Request
from memcirc.graph import graph_of
from memcirc.interventions import Ablation
from memcirc.metrics import SEQUENCE, Answers, Metric
from memcirc.models import Model
from memcirc.options import build, refuse_keywords
from memcirc.pairs.contrast import check_answers, check_contrast
from memcirc.pairs.record import Pairs
from memcirc.twins import beside, exchanged
from memcirc.work.fitting import Fitting


def attribute(model: Model, pairs: Pairs, method: str = "mask-ig", **options: Unpack[AttributionOptions]) -> EdgeScores:
    """Edge scores by one of the methods of :mod:`memcirc.attribution.methods`.

    Args:
        method: ``eap``, ``mask-ig``, ``clean-corrupted``, ``exact``, ``random``, ...
        options: of :class:`AttributionOptions`: ``steps`` (mask-ig's k), ``objective`` (a differentiable metric),
            ``ablation``, ``reference``, ``twin`` (of ablation ``twin``), ``reverse``, ``engine`` (``native`` or
            ``auto-circuit``), ``batch_size``, ``seed``, ``updates`` and ``rate`` (of learned masks); ``per_example``
            adds float [pairs, n_edges].

    Raises:
        ValueError: no pairs, pairs that do not contrast, an unknown word, an answer outside the vocabulary, scores that
            are NaN, a combination that the method does not define, no twin of the model where one is needed.
    """
    request, origin = request_of(model, pairs, method, options)
    values = _computed(method_named(method), request).detach().cpu()
    values = values if values.dtype == torch.float64 else values.float()
    if request.per_example:
        return EdgeScores(graph_of(model), values.mean(0), origin, values)
    return EdgeScores(graph_of(model), values, origin)


def _computed(method: Method, request: Request) -> Tensor:
    """The scores; in smaller batches where memory runs out, unless the method learns from batch to batch or another
    engine divides them."""
    if method.joint or request.engine != "native":
        return method.run(request)
    sequence, keeps_prefix = Metric.parse(request.objective).reads == SEQUENCE, request.settings.ablated.keeps_prefix
    return Fitting(request.batch_size)(
        lambda size: method.run(replace(request, batch_size=size)),
        partial(largest_batch, request.model.weights, request.pairs, keeps_prefix, sequence),
    )


def request_of(
    model: Model, pairs: Pairs, method: str, options: AttributionOptions
) -> tuple[Request, Mapping[str, Any]]:
    """What an attribution is asked, and what its scores state; errors as :func:`attribute`."""
    refuse_keywords("attribute", options, AttributionOptions.__annotations__)
    settings = build(AttributionSettings, {"method": method}, options)
    model = beside(model, options.get("twin"), settings.ablation)
    reference, reverse = options.get("reference"), options.get("reverse", False)
    per_example = options.get("per_example", False)
    check_switch("reverse", reverse)
    check_switch("per_example", per_example)
    if not len(pairs):
        raise ValueError("the pair set is empty; attribution needs at least one pair")
    if method != "random":
        check_contrast(pairs, settings.ablation, model.causal)
        check_answers(pairs, settings.objective)
    Answers.of(pairs, model.d_vocab)
    ablation = Ablation.parse(settings.ablation)
    means_over = reference if ablation.means_of else None
    running, data = model, pairs
    if reverse and ablation.other_model:
        running = exchanged(model)
    elif reverse:
        data, means_over = swapped(pairs), None if means_over is None else swapped(means_over)
    told = {name: value for name, value in asdict(settings).items() if name != "method"}
    origin = {
        **settings.statement(),
        **model.statement(),
        "reverse": reverse,
        "pairs": len(pairs),
        "data_fingerprint": pairs.fingerprint,
        "split": pairs.header.get("split"),
    }
    return Request(running, data, reference=means_over, per_example=per_example, **told), origin


def swapped(pairs: Pairs) -> Pairs:
    """The same pairs with clean and corrupt prompts exchanged; answers stay."""
    return replace(
        pairs,
        items=tuple(
            replace(
                pair, clean_ids=pair.corrupt_ids, corrupt_ids=pair.clean_ids, clean=pair.corrupt, corrupt=pair.clean
            )
            for pair in pairs
        ),
    )
