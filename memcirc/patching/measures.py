"""What a patched run is asked: metrics (:mod:`memcirc.metrics`) at the end of the prompt, or over a whole answer that
is teacher-forced behind it. Metrics of one position read the end of the prompt in either case; ``kl`` compares with the
source run.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from memcirc.decoder.block import final_normed
from memcirc.decoder.weights import Weights
from memcirc.metrics import COLUMNS, SEQUENCE, Answers, Labels, Metric
from memcirc.patching.prompts import Prompts
from memcirc.patching.runs import logits_of

ROWS_OF_LOGITS = 1 << 26


@dataclass(frozen=True, eq=False)
class Question:
    """The metrics of a sweep, with the prompts and answers that they read.

    ``answers`` are of single tokens (whole ones are the prompts' targets); ``reference`` the source run's logits at the
    end of the prompt, which ``kl`` needs.
    """

    metrics: tuple[Metric, ...]
    prompts: Prompts
    answers: Answers
    reference: Float[Tensor, "batch d_vocab"] | None = None

    def rows(self, rows: slice) -> "Question":
        """The same metrics for some of the examples."""
        answers = self.answers[torch.arange(len(self.prompts), device=self.prompts.ids.device)[rows]]
        reference = None if self.reference is None else self.reference[rows]
        return Question(self.metrics, self.prompts.rows(rows), answers, reference)

    def against(self, weights: Weights, final: Float[Tensor, "batch step d_model"]) -> "Question":
        """The question with the source run as the reference of ``kl``, if that is asked."""
        if not any(metric.compares for metric in self.metrics):
            return self
        return replace(self, reference=logits_of(weights, final[:, 0]))

    def of_final(
        self, weights: Weights, final: Float[Tensor, "row step d_model"], example: Int[Tensor, " row"]
    ) -> Float[Tensor, "metric row"]:
        """Every metric of every row, from the last residual at the positions read; unembeds the answers' columns alone
        where that is enough."""
        if all(metric.reads == COLUMNS for metric in self.metrics):
            answers = self.answers[example]
            hat = final_normed(weights, final[:, 0]).to(weights.dtype)
            columns = weights.unembed.weight.T[self.answers.columns][example]
            logits = (columns * hat[:, None]).sum(-1)
            if weights.unembed.bias is not None:
                logits = logits + weights.unembed.bias[answers.columns]
            logits = weights.read_out(logits).double()
            return torch.stack([metric(logits, Labels(answers)) for metric in self.metrics])
        size = _rows_at_once(weights, final)
        parts = [
            self.of_logits(logits_of(weights, rows), which)
            for rows, which in zip(final.split(size), example.split(size), strict=True)
        ]
        return torch.cat(parts, dim=1)

    def resolution(
        self, weights: Weights, final: Float[Tensor, "row step d_model"], values: Float[Tensor, "metric row"]
    ) -> Float[Tensor, " metric"]:
        """The smallest difference of each metric of one row that means anything (:meth:`Metric.resolution`)."""
        parts = final.split(_rows_at_once(weights, final))
        largest = torch.stack([logits_of(weights, part).abs().max() for part in parts])
        found = [
            metric.resolution(largest, of_rows, weights.dtype)
            for metric, of_rows in zip(self.metrics, values, strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64, device=values.device)

    def of_logits(
        self, logits: Float[Tensor, "row step d_vocab"], example: Int[Tensor, " row"]
    ) -> Float[Tensor, "metric row"]:
        """Every metric of every row, from the logits at the positions read."""
        logits, labels = logits.double(), self._labels(example)
        return torch.stack(
            [
                metric(logits, labels) if metric.reads == SEQUENCE else metric.of_position(logits[:, 0], labels)
                for metric in self.metrics
            ]
        )

    def _labels(self, example: Int[Tensor, " row"]) -> Labels:
        """The answers, targets and reference that the rows' logits are compared with."""
        targets, mask = self.prompts.targets, self.prompts.target_mask
        return Labels(
            self.answers[example],
            None if targets is None else targets[example],
            None if mask is None else mask[example],
            None if self.reference is None else self.reference[example],
        )


def _rows_at_once(weights: Weights, final: Float[Tensor, "row step d_model"]) -> int:
    return max(1, ROWS_OF_LOGITS // (final.shape[1] * weights.d_vocab))
