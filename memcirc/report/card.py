"""The verification card: a run's headline numbers with what they were measured on, as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from memcirc.artifacts import read_json
from memcirc.report.evidence import headline
from memcirc.report.files import TaskFiles
from memcirc.report.tables import text_table
from memcirc.report.view import card_line
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.random_circuits import RandomComparison
from memcirc.verification.removal import MEMORIZED, Removal, others
from memcirc.verification.result import Verification
from memcirc.verification.specificity import Dissociation
from memcirc.verification.stability import Stability

COLUMNS = ("task", "mode", "direction", "edges", "pairs", "faithfulness", "interval", "chance_q95", "p_value",
           "rediscovered", "added_loss", "to_other_text")  # fmt: skip


def verification_card(tasks: Mapping[str, TaskFiles]) -> str:
    """A line for each task, mode and direction under the task's own ablation, then what all of them have in common.

    ``chance_q95`` and ``p_value`` are those of connected random circuits, ``rediscovered`` the mean Jaccard over
    resampled documents, ``added_loss`` what knocking the circuit out adds to memorized passages, ``to_other_text`` to
    passages that are not memorized (nats a token); of a model with a twin by the twin's values, and to the kind of
    text to which it adds most.
    """
    lines, cards = [], []
    for task, files in tasks.items():
        verification = Verification.from_json(read_json(files.verification))
        own = headline(verification)
        lines += [_line(task, row, verification) for row in verification.of(Measurement) if row.ablation == own]
        rows = [row for row in verification.rows(Measurement) if row["ablation"] == own]
        cards.append(f"{task}: {card_line(rows)}")
    return "\n".join([text_table(lines, COLUMNS), *cards])


def _line(task: str, row: Measurement, verification: Verification) -> dict[str, Any]:
    way = row.mode, row.direction
    compared = (r for r in verification.of(RandomComparison) if r.kind == "connected")
    chance = next((r for r in compared if (r.mode, r.direction) == way), None)
    again = next((r for r in verification.of(Stability) if (r.mode, r.direction) == way), None)
    rises = {r.text: r.rise for r in verification.of(Dissociation) if r.mode == row.mode}
    removed = [r for r in verification.of(Removal) if r.mode == row.mode]
    memorized, other = rises.get("memorized"), rises.get("not memorized")
    if removed:
        memorized = next(r.added for r in removed if r.text == MEMORIZED)
        other = max((r.added for r in others(removed)), default=None)
    return {
        "task": task,
        "mode": row.mode,
        "direction": row.direction,
        "edges": row.n_edges,
        "pairs": row.n_pairs,
        "faithfulness": row.faithfulness,
        "interval": None if row.low is None else f"{row.low:.2f} to {row.high:.2f}",
        "chance_q95": chance and chance.q95,
        "p_value": chance and chance.p_value,
        "rediscovered": again and again.jaccard_found,
        "added_loss": memorized,
        "to_other_text": other,
    }
