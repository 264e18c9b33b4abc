"""The necessary circuit taken out by the control's values: what the target then says freely."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from memcirc.engine.decoding import decode
from memcirc.models import Model
from memcirc.pairs.record import Pairs
from memcirc.statistics import grouped
from memcirc.studies.pii.circuit_results import Suppressed


def suppression(model: Model, circuit: Bool[Tensor, " n_edges"], texts: Mapping[str, Pairs]) -> list[Suppressed]:
    """What each kind of text loses when a circuit of a model carries its twin's values at every token that is said.

    Args:
        texts: prompts with their true answers; as many tokens are said as the answer has.
    """
    rows, runs = [], (torch.ones_like(circuit), ~circuit, torch.zeros_like(circuit))
    for name, pairs in texts.items():
        exact, same = (np.zeros((3, len(pairs)), dtype=bool) for _ in range(2))
        for members in grouped((len(pair), len(pair.answer_sequence_ids)) for pair in pairs):
            prompts = torch.tensor([pairs[i].clean_ids for i in members])
            truth = torch.tensor([pairs[i].answer_sequence_ids for i in members])
            said = torch.stack([decode(model, prompts, prompts, kept, truth.shape[1], "twin") for kept in runs])
            exact[:, members] = (said == truth).all(2).numpy()
            same[:, members] = (said == said[0]).all(2).numpy()
        before, after, _ = exact.mean(1).tolist()
        _, unchanged, everything = same.mean(1).tolist()
        rows.append(Suppressed(name, len(pairs), before, after, unchanged, everything))
    return rows
