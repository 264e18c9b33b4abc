"""The null of the embedded pair: between a twin and one that differs in the order of its lines alone, nothing was
learned."""

import numpy as np
import pytest

from memcirc.demo import Demo, ensure_null_twin, read_planted
from memcirc.memorization.scores import score
from memcirc.models import load_model
from memcirc.pairs.make import make_pairs
from memcirc.statistics import area_under_roc
from memcirc.twins import beside

pytestmark = pytest.mark.slow


def test_the_road_from_one_twin_to_the_other_finds_nothing(miniature: Demo) -> None:
    twin, null = (load_model(folder, device="cpu") for folder in (miniature.twin_dir, ensure_null_twin(miniature)))
    pair = beside(twin, null)
    n, m = miniature.prompt_tokens, miniature.generation_tokens
    planted = read_planted(miniature.corpus_path).values()
    encoded = {
        kind: [
            twin.tokenizer.encode(document.text, add_special_tokens=False)[: n + m]
            for document in planted
            if (document.family is not None) == (kind == "planted")
        ]
        for kind in ("planted", "other")
    }
    tables = {kind: score(pair, np.array(ids), n, m) for kind, ids in encoded.items()}
    with pytest.raises(ValueError, match=r"no passage reaches threshold 0.75|nothing was learned"):
        make_pairs(pair, tables["planted"], mode="learned")
    lifts = [table["lift"].to_numpy() / m for table in tables.values()]
    assert abs(lifts[0].mean()) < 0.2
    spread = np.sqrt(sum(1 / len(some) for some in lifts) / 12)  # of the area where both are alike
    assert abs(area_under_roc(*lifts) - 0.5) < 3 * spread


def test_what_the_model_has_learned_lifts_planted_passages_alone(miniature: Demo) -> None:
    model, twin = (load_model(folder, device="cpu") for folder in (miniature.model_dir, miniature.twin_dir))
    n, m = miniature.prompt_tokens, miniature.generation_tokens
    planted = [document for document in read_planted(miniature.corpus_path).values() if document.copies >= 8]
    ids = [model.tokenizer.encode(each.text, add_special_tokens=False)[: n + m] for each in planted]
    table = score(beside(model, twin), np.array(ids), n, m)
    assert np.mean(table["lift"].to_numpy() / m) > 0.5
    assert len(make_pairs(beside(model, twin), table, mode="learned")) > len(ids) / 2
