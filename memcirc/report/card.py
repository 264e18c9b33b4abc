"""The verification card: a run's headline numbers with what they were measured on, as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from memcirc.artifacts import read_json
from memcirc.report.files import TaskFiles
from memcirc.report.tables import text_table
from memcirc.report.verification_tables import card_line

COLUMNS = ("task", "mode", "direction", "edges", "pairs", "faithfulness", "interval", "chance_q95", "p_value",
           "rediscovered", "added_loss", "to_other_text")  # fmt: skip


def verification_card(tasks: Mapping[str, TaskFiles]) -> str:
    """A line for each task, mode and direction under resample, then what all of them have in common.

    ``chance_q95`` and ``p_value`` are those of connected random circuits, ``rediscovered`` the mean Jaccard over
    resampled documents, ``added_loss`` what knocking the circuit out adds to memorized passages, ``to_other_text`` to
    passages that are not memorized (nats a token).
    """
    lines, cards = [], []
    for task, files in tasks.items():
        verification = read_json(files.verification)
        rows = [row for row in verification["faithfulness"] if row["ablation"] == "resample"]
        lines += [_line(task, row, verification) for row in rows]
        cards.append(f"{task}: {card_line(rows)}")
    return "\n".join([text_table(lines, COLUMNS), *cards])


def _line(task: str, row: Mapping[str, Any], verification: Mapping[str, Any]) -> dict[str, Any]:
    same = ("mode", "direction")
    chance = _first(verification["random"], kind="connected", **{key: row[key] for key in same})
    again = _first(verification["stability"], **{key: row[key] for key in same})
    texts = {r["text"]: r for r in verification["specificity"] if r["mode"] == row["mode"]}
    return {
        "task": task,
        "mode": row["mode"],
        "direction": row["direction"],
        "edges": row["n_edges"],
        "pairs": row["n_pairs"],
        "faithfulness": row["faithfulness"],
        "interval": None if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}",
        "chance_q95": chance.get("q95"),
        "p_value": chance.get("p_value"),
        "rediscovered": again.get("jaccard_found"),
        "added_loss": texts.get("memorized", {}).get("rise"),
        "to_other_text": texts.get("not memorized", {}).get("rise"),
    }


def _first(rows: Sequence[Mapping[str, Any]], **wanted: Any) -> Mapping[str, Any]:
    """The first row that has the wanted values, or an empty one."""
    return next((row for row in rows if all(row[key] == value for key, value in wanted.items())), {})
