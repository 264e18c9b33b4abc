"""How alike are two passages? Cosine of the model's own mean-pooled last hidden states, or overlap of token sets.

Both are blocked matrix products: of unit-norm embeddings, or for Jaccard |A & B| / |A | B| of the sparse 0/1 incidence
matrices of token sets. No more than :data:`BLOCK` rows of similarities exist at a time.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.sparse import csr_matrix

from memcirc.decoder.block import final_normed
from memcirc.decoder.forward import Forward
from memcirc.decoder.workspace import Workspace
from memcirc.models import Model

SIMILARITIES = ("embedding", "jaccard")
BLOCK = 1024
NEIGHBOURS = 256

Block = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Indices of left and of right passages -> float32 [left, right], their similarities."""


def similarity(model: Model, left: np.ndarray, right: np.ndarray, kind: str, batch_size: int = 64) -> Block:
    """Similarities between passages of equal length, int64 [n, pos] each, block by block.

    Raises:
        ValueError: an unknown kind.
    """
    if kind == "embedding":
        x, y = embeddings(model, left, batch_size), embeddings(model, right, batch_size)
        return lambda rows, columns: x[rows] @ y[columns].T
    if kind == "jaccard":
        return shared_tokens(left, right, model.d_vocab)
    raise ValueError(f"similarity {kind!r} is not known; accepted: {', '.join(SIMILARITIES)}")


def shared_tokens(left: np.ndarray, right: np.ndarray, d_vocab: int) -> Block:
    """Jaccard overlap of the token sets of passages, int64 [n, pos] each."""
    a, b = token_sets(left, d_vocab), token_sets(right, d_vocab)
    n_a, n_b = (np.diff(sets.indptr).astype(np.float32) for sets in (a, b))

    def overlap(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        common = (a[rows] @ b[columns].T).toarray()
        return common / (n_a[rows, None] + n_b[None, columns] - common)

    return overlap


def most_similar(block: Block, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of the rows the most similar column (int64, an entry of ``columns``; ties to the earlier), and how
    similar it is (float32)."""
    best, value = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        alike = block(rows[part], columns)
        best[part], value[part] = columns[alike.argmax(1)], alike.max(1)
    return best, value


def most_similar_unused(block: Block, n_rows: int, n_columns: int) -> Iterator[tuple[int, float] | None]:
    """For rows 0, 1, ... in turn the most similar column that no row before has taken, with its similarity; None when
    there is none left.

    Each block of rows keeps its nearest free columns. A row that finds all of its own taken has them found anew, among
    the free ones, for itself and the rest of the block.
    """
    free = np.ones(n_columns, dtype=bool)
    for start in range(0, n_rows, BLOCK):
        row, stop = start, min(start + BLOCK, n_rows)
        while row < stop:
            columns = np.flatnonzero(free)
            if not columns.size:
                yield from [None] * (stop - row)
                break
            nearest, alike = _nearest(block(np.arange(row, stop), columns))
            nearest = columns[nearest]
            for candidates, values in zip(nearest, alike, strict=True):
                left = np.flatnonzero(free[candidates])
                if not left.size:
                    break
                chosen = int(candidates[left[0]])
                free[chosen] = False
                yield chosen, float(values[left[0]])
                row += 1


def _nearest(alike: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices and values of each row's highest entries, descending, equal ones by index."""
    values, indices = torch.from_numpy(alike).topk(min(NEIGHBOURS, alike.shape[1]), dim=1)
    by_index = indices.argsort(dim=1)
    values, indices = values.gather(1, by_index), indices.gather(1, by_index)
    order = values.argsort(dim=1, descending=True, stable=True)
    return indices.gather(1, order).numpy(), values.gather(1, order).numpy()


@torch.inference_mode()
def embeddings(model: Model, passages: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """float32 [passages, d_model]: mean over positions of the last residual after the final norm, at unit norm."""
    pooled = []
    for start in range(0, len(passages), batch_size):
        ids = torch.from_numpy(passages[start : start + batch_size]).to(model.device)
        final = Forward(model.weights, ids, Workspace(model.device)).final()
        hidden = final_normed(model.weights, final)
        pooled.append(torch.nn.functional.normalize(hidden.float().mean(1), dim=-1).cpu())
    return torch.cat(pooled).numpy() if pooled else np.zeros((0, model.weights.d_model), np.float32)


def token_sets(passages: np.ndarray, d_vocab: int) -> csr_matrix:
    """float32 [passages, d_vocab], sparse: 1 where a token occurs in a passage."""
    rows = np.repeat(np.arange(len(passages)), passages.shape[1])
    counts = csr_matrix((np.ones(passages.size, np.float32), (rows, passages.ravel())), (len(passages), d_vocab))
    counts.sum_duplicates()  # scipy 1.13 keeps them apart
    counts.data[:] = 1
    return counts
