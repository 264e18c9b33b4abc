"""How alike are two passages? Cosine of the model's own mean-pooled last hidden states, or overlap of token sets.

Both give one matrix of features whose products are similarities, so that neighbours are found by blocked matrix
products: unit-norm embeddings, or for Jaccard |A & B| / |A | B| from the 0/1 incidence matrices of token sets.
"""

import numpy as np
import torch

from memcirc.models import Model

SIMILARITIES = ("embedding", "jaccard")


def similarity_matrix(model: Model, left: np.ndarray, right: np.ndarray, kind: str, batch_size: int = 64) -> np.ndarray:
    """float32 [left, right] of similarities between passages of equal length, int64 [n, pos] each.

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "embedding":
        return embeddings(model, left, batch_size) @ embeddings(model, right, batch_size).T
    if kind == "jaccard":
        a, b = _token_sets(left, model.d_vocab), _token_sets(right, model.d_vocab)
        common = a @ b.T
        return common / (a.sum(1)[:, None] + b.sum(1)[None, :] - common)
    raise ValueError(f"similarity {kind!r} is not known; accepted: {', '.join(SIMILARITIES)}")


@torch.inference_mode()
def embeddings(model: Model, passages: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """float32 [passages, d_model]: mean over positions of the last residual after the final norm, at unit norm."""
    pooled = []
    for start in range(0, len(passages), batch_size):
        ids = torch.from_numpy(passages[start : start + batch_size]).to(model.device)
        if model.hf is None:
            hidden = model.hooked.ln_final(model.hooked(ids, return_type=None, stop_at_layer=-1, prepend_bos=False))
        else:
            hidden = model.hf.base_model(input_ids=ids, use_cache=False).last_hidden_state
        pooled.append(torch.nn.functional.normalize(hidden.float().mean(1), dim=-1).cpu())
    return torch.cat(pooled).numpy() if pooled else np.zeros((0, model.hooked.cfg.d_model), np.float32)


def _token_sets(passages: np.ndarray, d_vocab: int) -> np.ndarray:
    sets = np.zeros((len(passages), d_vocab), dtype=np.float32)
    np.put_along_axis(sets, passages, 1.0, axis=1)
    return sets
