"""Edge scores in pieces: a score is a mean over pairs, so the sums of parts of the pairs add up, in a fixed order."""

import json
from collections.abc import Iterable
from typing import Unpack

import numpy as np
import pyarrow as pa
import torch

from memcirc.attribution.attribute import attribute
from memcirc.attribution.scores import EdgeScores
from memcirc.attribution.settings import AttributionOptions
from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.pairs.record import Pairs


def piece(model: Model, pairs: Pairs, method: str, **options: Unpack[AttributionOptions]) -> pa.Table:
    """The sums of a part's edge scores, float64 [n_edges], as a table that knows the number of its pairs.

    Args:
        options: as of :func:`memcirc.attribute`; ``reference`` is all pairs, not this part.
    """
    scores = attribute(model, pairs, method, **options)
    stated = {"pairs": str(len(pairs)), "origin": json.dumps(dict(scores.origin), default=str)}
    return pa.table({"sum": scores.values.double().numpy() * len(pairs)}).replace_schema_metadata(stated)


def whole(model: Model, pieces: Iterable[pa.Table], pairs: Pairs) -> EdgeScores:
    """The edge scores of all pairs from the pieces of them."""
    graph = graph_of(model)
    total, count, origin = np.zeros(graph.n_edges), 0, {}
    for table in pieces:
        total += table["sum"].to_numpy()
        count += int(table.schema.metadata[b"pairs"])
        origin = json.loads(table.schema.metadata[b"origin"])
    assert count == len(pairs)
    origin |= {"pairs": count, "data_fingerprint": pairs.fingerprint}
    values = torch.from_numpy(total / count)
    return EdgeScores(graph, values if model.dtype == torch.float64 else values.float(), origin)
