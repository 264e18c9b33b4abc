"""The tables of a verification: which columns of which check are shown, under which words, with their evaluation
card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CARD = ("model", "revision", "dtype", "bos", "split", "pairs", "ablation", "base", "direction", "selection",
        "averaging", "seed")  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A table with its title, what its columns mean, and the card: what all its numbers have in common."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]
    about: str
    card: str


_SPECIFICATIONS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    (
        "faithfulness", "The circuit on test pairs, in every way to run it",
        ("mode", "ablation", "direction", "note", "n_edges", "n_pairs", "faithfulness", "low", "high", "mean_ratio",
         "median_ratio", "value", "nothing", "everything", "correct", "correct_everything"),
        "value: mean of the metric under the circuit; nothing, everything: the same with no edge of the circuit at "
        "work, and with all (for denoising the latter is the other behaviour's end); faithfulness: where value lies "
        "between them, with its 95 % bootstrap interval over documents; mean and median ratio: of the pairs' own; "
        "correct: share of pairs whose answer is the argmax, beside the same with everything at work.",
    ),
    (
        "random", "Against random circuits of the same size",
        ("mode", "kind", "direction", "n_edges", "n_circuits", "found", "mean", "std", "median", "q95", "highest",
         "disconnected", "overlap", "quantile", "p_value"),
        "found: the circuit; uniform: as many edges at random; connected: unions of random paths; matched: as many "
        "edges between each two layers and types; shuffled: the found scores permuted within each destination; "
        "disconnected: the share without any path from input to logits, which keeps nothing in tree mode; overlap: "
        "mean share of the found edges that a random circuit has as well, 1 where its kind leaves no choice; "
        "quantile: share of random circuits below the found one; p value: (1 + those at least as good) / (1 + all).",
    ),
    (
        "areas", "Areas of the whole curves, sizes and values",
        ("mode", "ablation", "direction", "cpr", "cmd", "log_auc", "n_at_0.85", "n_at_0.9", "n_at_0.95", "f_at_0.5%",
         "f_at_1%", "f_at_2%", "f_at_5%", "f_at_10%"),
        "MIB's sizes: cpr (integral of faithfulness over the share of edges), cmd (integral of its distance from "
        "1), and log_auc, its mean over the logarithm of size; n_at: smallest size that reaches a target on these "
        "pairs; f_at: faithfulness with that share of the edges.",
    ),
    (
        "tests", "Tests of the circuit hypothesis",
        ("mode", "test", "direction", "p_value", "n", "rejected", "supports", "effect", "effect_is", "null"),
        "After Shi et al. 2024, at 5 %. supports: whether the outcome speaks for the circuit; equivalence and "
        "independence can speak against it alone, and where their null stands nothing is said, since too few pairs "
        "would let it stand as well.",
    ),
    (
        "knockout", "What is left when the circuit is knocked out",
        ("mode", "direction", "n_edges", "without_circuit", "second_circuit", "second_faithfulness", "n_back_ups",
         "n_candidates", "incompleteness", "incompleteness_highest", "n_subsets"),
        "without circuit: faithfulness of all other edges; incompleteness: mean (highest) difference between "
        "circuit and model when the same random half of the circuit is knocked out of both; second circuit: the "
        "smallest prefix of the ranking without the circuit's edges that reaches the target, and what it keeps; "
        "back-ups: of the highest-ranked other edges, those whose own knock-out costs at least .01 more once the "
        "circuit is gone.",
    ),
    (
        "stability", "Stability over documents, resamples and splits",
        ("mode", "direction", "n_edges", "core", "jaccard_found", "jaccard_lowest", "jaccard_pairwise",
         "jaccard_splits", "faithfulness", "low", "high", "smallest", "smallest_low", "smallest_high", "n_documents"),
        "low, high: 95 % bootstrap interval over documents; smallest: first size on a grid that reaches the target, "
        "with its interval; jaccard: overlap of circuits re-discovered from resampled training documents with the "
        "circuit (mean, lowest) and among themselves, and of those from other training splits; core: edges in every "
        "one of them.",
    ),
    (
        "methods", "Other methods and selections",
        ("mode", "method", "selection", "by", "direction", "n_edges", "jaccard", "spearman", "faithfulness"),
        "Circuits of equal size from the same training pairs: overlap with the circuit, rank correlation of score "
        "sizes, and their own faithfulness.",
    ),
    (
        "specificity", "Specificity: the same knock-out on other text",
        ("mode", "run_mode", "text", "n_passages", "intact", "knocked_out", "rise", "low", "high", "share_of_room",
         "random_rise", "random_q95", "ordinary_rise", "shared_with_ordinary", "copying_rise", "only_circuit",
         "nothing", "note"),
        "Loss of the completion in nats a token; mode: of the circuit; run mode: what was measured in; rise: what "
        "knocking the circuit out adds, with its 95 % bootstrap interval over passages; share of "
        "room: rise over what knocking everything out adds; random rise: the mean (95th percentile) of connected "
        "random circuits of its size; ordinary rise: of the circuit for ordinary text, whose overlap with this one "
        "(Jaccard) stands beside; copying rise: of the circuit for copying; both found on text that is not measured.",
    ),
    (
        "generation", "Recitation under the circuit",
        ("mode", "run_mode", "run", "direction", "n_edges", "n_circuits", "copies", "n_passages", "extracted", "score",
         "prefix_match"),
        "Greedy completions (mode: of the circuit; run mode: what was generated in) of memorized passages of the "
        "test documents with only some edges intact, the others "
        "carrying the run of a passage that is not memorized followed by the same generated tokens; extracted: "
        "share of exact completions; score: mean share of right tokens; prefix match: mean number of leading right "
        "tokens.",
    ),
    (
        "time", "The circuit at later tokens",
        ("mode", "delay", "direction", "n_edges", "n_train", "n_pairs", "overlap_with_onset", "spearman",
         "onset_faithfulness", "own_faithfulness"),
        "delay: tokens after the branch; overlap: Jaccard of that delay's circuit with the onset's; onset and own: "
        "faithfulness, on that delay's test pairs, of the onset's circuit and of its own.",
    ),
    (
        "dose", "Dose and response: the circuit by copies",
        ("mode", "copies", "direction", "n_pairs", "nothing", "circuit", "everything", "carried", "faithfulness",
         "trend", "trend_p"),
        "carried: mean metric under the circuit less that with nothing; trend: rank correlation of copies with each "
        "pair's own, and its p-value.",
    ),
    (
        "worst", "Pairs on which the circuit is worst",
        ("mode", "direction", "doc_id", "copies", "ends_with", "answer", "ratio", "value", "nothing", "everything"),
        "The five lowest of the pairs' own ratios in each direction.",
    ),
)  # fmt: skip


def tables_of(verification: Mapping[str, Any]) -> list[Table]:
    """The tables that a verification has rows for."""
    shown = {**verification, "areas": _areas(verification["curve"]), "worst": _worst(verification["distribution"])}
    shown["knockout"] = [_second(row) for row in shown["knockout"]]
    shown["specificity"] = [_room(row) for row in shown["specificity"]]
    shown["time"] = [{**row, "overlap_with_onset": row["overlap"][0]} for row in shown["time"]]
    return [
        Table(name, title, columns, shown[name], about, card_line(shown[name]))
        for name, title, columns, about in _SPECIFICATIONS
        if shown.get(name)
    ]


def card_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """What all rows say of themselves; what differs from row to row stands in the rows."""
    words = []
    for key in CARD:
        values = {str(row.get(key)) for row in rows if key in row}
        if len(values) == 1:
            value = values.pop()
            words.append(f"{key}: {'not stated' if value == 'None' else value}")
        elif values == {"clean", "corrupt"}:
            words.append(f"{key}: clean where noising, corrupt where denoising")
        elif values:
            words.append(f"{key}: by row")
    return "; ".join(words)


def _areas(curves: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for curve in curves:
        values = zip(curve["mib_fractions"], curve["mib_faithfulness"], strict=True)
        shares = {f"f_at_{share:.1%}".replace(".0%", "%"): value for share, value in values}
        sizes = {f"n_at_{target}": size for target, size in curve["smallest"].items()}
        rows.append({**curve, **curve["mib_areas"], **sizes, **shares})
    return rows


def _worst(distributions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**d, **{"worst": None}, **case} for d in distributions for case in d["worst"]]


def _second(row: Mapping[str, Any]) -> dict[str, Any]:
    first = next(iter(row["rounds"]), None)
    if first is None:
        return dict(row)
    size = first["n_edges"] if first["target_met"] else f"none (best: {first['n_edges']})"
    return {**row, "second_circuit": size, "second_faithfulness": first["faithfulness"]}


def _room(row: Mapping[str, Any]) -> dict[str, Any]:
    room = row["nothing"] - row["intact"]
    return {**row, "share_of_room": row["rise"] / room if room > 0 else None}
