"""Does the circuit do more than carry the differing token in?

Where two prompts differ in a token, the edges out of ``input`` can be all that a behaviour needs: patching them alone
exchanges the prompts. A circuit whose edges out of ``input`` alone reach the target on the test pairs is *trivial*: it
says that the token matters, and nothing of what the model does with it. Beside it, the smallest prefix of the same
ranking without those edges that reaches the target on the training pairs, in the same mode and direction, and what it
keeps on the test pairs. It is found by bisection: not all shorter prefixes were measured. In mode tree under resample
there is none: with ``input`` ablated everywhere nothing is left to
carry.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memcirc.attribution.selection import prefix_masks
from memcirc.circuits.runner import circuit_runner
from memcirc.circuits.search import smallest_size
from memcirc.graph import INPUT
from memcirc.verification.check import Work
from memcirc.verification.record import OfPairs
from memcirc.verification.subject import Subject


@dataclass(frozen=True)
class FromInput(OfPairs):
    """Of the circuit's ``n_edges`` ``from_input`` leave ``input``, and keep ``input_alone`` by themselves;
    ``trivial``: at least the ``target``. ``smallest_without``: the size of the smallest prefix without such edges that
    reaches the target on training pairs (None: not even all ``others`` do, which keep ``others_keep`` there), and
    ``faithfulness_without`` what it keeps on test pairs."""

    KEY = "trivial"

    n_edges: int
    from_input: int
    input_alone: float
    target: float
    trivial: bool
    others: int
    others_keep: float
    smallest_without: int | None
    faithfulness_without: float | None


def from_input(subject: Subject) -> list[FromInput]:
    """One line, in the circuit's own direction.

    Raises:
        ValueError: no scores, no training pairs, or ends that coincide.
    """
    train, order, settings = subject.needed("train"), subject.ranking.order, subject.settings
    runner = subject.runner(reverse=subject.own_reverse)
    leaves = subject.graph.edge_source == subject.graph.sources.index(INPUT)
    others = torch.cat([order[~leaves[order]], order[leaves[order]]])
    n_others = int((~leaves).sum())
    on_train = circuit_runner(
        subject.model, train, mode=subject.mode, ablation=subject.ablation, reverse=subject.own_reverse,
        reference=subject.reference, engine=subject.engine, memory=subject.memory,
    )  # fmt: skip

    def kept(sizes: Sequence[int]) -> Sequence[float]:
        values: list[float] = on_train.faithfulness(prefix_masks(others, sizes), settings.metric).tolist()
        return values

    search = smallest_size(kept, n_others, settings.target, scan=False)
    found = [subject.mask & leaves, *prefix_masks(others, [search.n_edges])]
    alone, without = runner.faithfulness(torch.stack(found), settings.metric).tolist()
    return [
        FromInput(
            way=runner.way(settings.metric),
            n_edges=len(subject.circuit),
            from_input=int((subject.mask & leaves).sum()),
            input_alone=alone,
            target=settings.target,
            trivial=alone >= settings.target,
            others=n_others,
            others_keep=search.evaluated[n_others],
            smallest_without=search.n_edges if search.target_met else None,
            faithfulness_without=without if search.target_met else None,
        )
    ]


WORK = Work.whole(FromInput, from_input)
