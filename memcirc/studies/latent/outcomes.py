"""What becomes of the answers under every patch: which pairs count, what is patched, and how many answers switch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import norm
from torch import Tensor

from memcirc.patching.patches import Patch
from memcirc.patching.program_runs import ProgramRun, run_patched
from memcirc.patching.programs import LATENT_IN, Program, at_step
from memcirc.patching.sites import KINDS, Site, hooks_of
from memcirc.statistics import wilson
from memcirc.studies.latent.results import LatentCell
from memcirc.studies.latent.task import LatentTask

COMPONENTS = [name for name, kind in KINDS.items() if kind.component and kind.of_block and not kind.renames]


@dataclass(frozen=True)
class Target:
    """What is patched: a component of a layer (or the fed vector) at a latent step."""

    component: str
    layer: int | None
    step: int
    site: Site

    @property
    def name(self) -> str:
        """Component and layer in words."""
        return self.component if self.layer is None else f"{self.component} {self.layer}"


@dataclass(frozen=True, eq=False)
class Judged:
    """What the model makes of the pairs unpatched: the right answers, which pairs are usable (clean is right and
    corrupt is wrong), what each belongs to, and how many fall into each of the four parts."""

    answers: Int[Tensor, "pair step"]
    usable: Bool[Tensor, " pair"]
    groups: Int[Tensor, " pair"]
    partition: dict[str, int]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What becomes of the answers under every patch: whether each is the clean one, or the corrupt run's own; and the
    log-probability of the clean one's first token."""

    policy: str
    switched: Bool[Tensor, "patch pair"]
    stayed: Bool[Tensor, "patch pair"]
    logprob: Float[Tensor, "patch pair"]


def targets_of(task: LatentTask, program: Program) -> list[Target]:
    """Everything that is patched: the fed vectors, and every component of every layer, at each step."""
    known = set(hooks_of(task.model))
    found = [Target(LATENT_IN, None, step, at_step(program, LATENT_IN, step)) for step in range(task.steps)]
    for kind in COMPONENTS:
        for layer in range(len(task.model.weights.blocks)):
            if Site(kind, layer).hook in known:
                found += [Target(kind, layer, step, at_step(program, kind, step, layer)) for step in range(task.steps)]
    return found


def judged_pairs(task: LatentTask, base: ProgramRun, source: ProgramRun) -> Judged:
    """What the model makes of the pairs unpatched; ValueError where none is usable."""
    answers = torch.tensor([list(answer) for answer in task.answers], device=task.model.device)
    clean_right, corrupt_wrong = says(source.generated, answers), ~says(base.generated, answers)
    partition = {
        f"clean {'right' if c else 'wrong'}, corrupt {'wrong' if k else 'right'}": int(
            ((clean_right == c) & (corrupt_wrong == k)).sum()
        )
        for c in (True, False)
        for k in (True, False)
    }
    usable = clean_right & corrupt_wrong
    if not usable.any():
        raise ValueError(
            f"of {len(usable)} pairs none is answered right on the clean question and wrong on the corrupt one "
            f"({', '.join(f'{count} {name}' for name, count in partition.items())}): nothing can be recovered"
        )
    groups = torch.tensor(list(task.groups) or [0] * len(usable), device=answers.device)
    return Judged(answers, usable, groups, partition)


def outcome_of(base: ProgramRun, source: ProgramRun, targets: Sequence[Target], policy: str, judged: Judged) -> Outcome:
    """What becomes of the answers when each target is patched, under one policy."""
    runs = run_patched(base, source, [Patch((target.site,)) for target in targets], policy)
    switched = says(runs.generated, judged.answers)
    stayed = (runs.generated == base.generated).all(-1) & ~switched
    first = judged.answers[:, :1].expand(len(targets), -1, -1)
    logprob = runs.logits.double().log_softmax(-1).gather(-1, first)[..., 0]
    return Outcome(policy, switched, stayed, logprob)


def recovery(outcome: Outcome, judged: Judged, patches: Sequence[int]) -> np.ndarray:
    """float64 [group, patch]: the share of usable pairs that switch."""
    return np.array(
        [
            [float(outcome.switched[i][judged.usable & (judged.groups == g)].double().mean()) for i in patches]
            for g in judged.groups.unique().tolist()
        ]
    )


def says(generated: Int[Tensor, "*rest pair step"], answers: Int[Tensor, "pair step"]) -> Bool[Tensor, "*rest pair"]:
    """Whether the answers were given."""
    return (generated == answers).all(-1)


def cells_of(outcome: Outcome, targets: Sequence[Target], usable: Tensor, half_width: float) -> Iterator[LatentCell]:
    """The counts of each target over the usable pairs."""
    for i, target in enumerate(targets):
        n, k, stayed = int(usable.sum()), int(outcome.switched[i, usable].sum()), int(outcome.stayed[i, usable].sum())
        low, high = wilson(k, n)
        yield LatentCell(
            outcome.policy, target.component, target.layer, target.step, n, k, stayed, n - k - stayed, low, high,
            sample_size(k / n, half_width),
        )  # fmt: skip


def sample_size(share: float, half_width: float, level: float = 0.95) -> int:
    """The smallest n whose Wilson interval around the share has at most the given half width."""
    z = float(norm.ppf((1 + level) / 2))
    low, high = 1, 1
    while _half(share, high, z) > half_width:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _half(share, middle, z) > half_width else (low, middle)
    return high


def _half(share: float, n: int, z: float) -> float:
    return float(z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n))


def table_of(outcome: Outcome, targets: Sequence[Target], judged: Judged) -> pa.Table:
    """The long table, of which a row is a patch on a pair."""
    n_patches, n = outcome.switched.shape
    of_patch, of_pair = np.repeat(np.arange(n_patches), n), np.tile(np.arange(n), n_patches)

    def per_patch(values: Sequence[Any], kind: Any) -> pa.Array:
        return pa.array(values, kind).take(pa.array(of_patch))

    def per_cell(values: Tensor) -> pa.Array:
        return pa.array(values.flatten().cpu().numpy())

    columns: dict[str, Any] = {
        "policy": pa.array([outcome.policy] * (n_patches * n)),
        "component": per_patch([target.component for target in targets], pa.string()),
        "layer": per_patch([target.layer for target in targets], pa.int32()),
        "step": per_patch([target.step for target in targets], pa.int32()),
        "example": pa.array(of_pair, pa.int32()),
        "group": pa.array(judged.groups.cpu().numpy()[of_pair]),
        "usable": pa.array(judged.usable.cpu().numpy()[of_pair]),
        "switched": per_cell(outcome.switched),
        "stayed": per_cell(outcome.stayed),
        "answer_logprob": per_cell(outcome.logprob),
    }
    return pa.table(columns)
