"""What a paper takes from a page beside its tables and figures: a paragraph of methods, references.

The paragraph states what was done with this run's own numbers, and the references are those of what it names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from memcirc.interventions import ABLATIONS
from memcirc.report.evidence import Evidence
from memcirc.report.references import REFERENCES
from memcirc.report.sections import Section
from memcirc.report.tasks import words_of
from memcirc.verification.hypotheses import HypothesisTest
from memcirc.verification.random_circuits import RandomComparison


def paper_section(found: Sequence[Evidence]) -> list[Section]:
    """The paragraph and the references; nothing where no circuit was verified."""
    told = [evidence for evidence in found if evidence.circuits]
    if not told:
        return []
    return [
        Section(
            "For a paper",
            (
                *methods(told),
                "Every table above is beside this page as CSV and LaTeX (booktabs), every figure as SVG and PDF.",
            ),
            shown=tuple(REFERENCES[key] for key in cited(told)),
        )
    ]


def methods(found: Sequence[Evidence]) -> list[str]:
    """A paragraph for each task: how its circuits were found, and what they were measured on."""
    return [_paragraph(evidence) for evidence in found]


def _paragraph(evidence: Evidence) -> str:
    statement = evidence.verification.statement
    circuits: Mapping[str, Mapping[str, Any]] = statement["circuits"]
    circuit, origin = next(iter(evidence.circuits.values())), next(iter(circuits.values()))["origin"]
    chosen_on = origin.get("size_chosen_on", {}).get("pairs", "the")
    ablation = ABLATIONS[origin["ablation"]].name
    found = "; ".join(_found(mode, each["n_edges"], each["origin"]) for mode, each in circuits.items())
    random = next((row.n_circuits for row in evidence.of(RandomComparison)), None)
    beside = f", beside {random} random circuits of the same size of each kind" if random else ""
    name, model, dtype = evidence.task, statement["model"], statement["dtype"]
    return (
        f"Task {name} ({_lower(words_of(name).short)}). We scored the {circuit.graph_edges} edges of {model} ({dtype}) "
        f"by {origin['method']}{_steps(origin)} on {origin['pairs']} training pairs, with objective "
        f"{origin['objective']} and ablation {ablation}. Circuits are the first edges by {_by(origin)}; we took the "
        f"smallest that keep {circuit.target:.0%} of the mean {statement['metric']} on {chosen_on} validation pairs: "
        f"{found}. Faithfulness, (m(C) - m(nothing)) / (m(everything) - m(nothing)) of the means m, was measured on "
        f"{statement['n_pairs']} test pairs of other documents, under every ablation and in both directions{beside}; "
        f"intervals are 95 % percentile intervals over {statement['n_resamples']} bootstrap resamples of documents."
    )


def _found(mode: str, n_edges: int, origin: Mapping[str, Any]) -> str:
    refined = origin.get("refined")
    if refined is None:
        return f"{n_edges} edges in mode {mode}"
    certificate = ", each of which is needed" if refined["certified"] else ""
    return f"{n_edges} edges in mode {mode}, refined from {refined['prefix']}{certificate}"


def _steps(origin: Mapping[str, Any]) -> str:
    return f" ({origin['steps']} steps)" if "ig" in str(origin["method"]) else ""


def _by(origin: Mapping[str, Any]) -> str:
    size = "absolute score" if origin.get("by", "abs") == "abs" else "signed score"
    return f"{size}, grown greedily from the logits" if origin.get("selection") == "greedy" else size


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


METHODS = {
    "eap": ("syed2023attribution",),
    "clean-corrupted": ("syed2023attribution", "hanna2024faith"),
    "mask-ig": ("miller2024transformer",),
    "eap-ig-inputs": ("hanna2024faith",),
    "eap-ig-activations": ("hanna2024faith",),
    "relp": ("jafari2025relp",),
    "edge-pruning": ("bhaskar2024finding",),
    "uniform-gradient-sampling": ("li2024optimal",),
}


def cited(found: Sequence[Evidence]) -> list[str]:
    """Keys of what the run used, each once, in the order in which a reader meets it."""
    keys = ["carlini2023quantifying"]
    for evidence in found:
        for each in evidence.verification.statement["circuits"].values():
            keys += METHODS.get(each["origin"]["method"], ())
            keys += ["li2024optimal"] if each["origin"]["ablation"] == "optimal" else []
            keys += ["zeller2002simplifying"] if "refined" in each["origin"] else []
        keys += ["shi2024hypothesis"] if evidence.of(HypothesisTest) else []
    return [*dict.fromkeys([*keys, "efron1979bootstrap"])]
