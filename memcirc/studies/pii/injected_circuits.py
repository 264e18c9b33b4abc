"""The circuit of the injected records, from its finding to what its removal costs elsewhere."""

import warnings
from collections.abc import Sequence

from memcirc.circuit import Circuit, edge_mask
from memcirc.graph import graph_of
from memcirc.models import Model
from memcirc.pairs.record import Pairs, joined
from memcirc.studies.pii.circuit_places import place_counts
from memcirc.studies.pii.circuit_results import FoundCircuit, InjectedCircuits, NoCircuits
from memcirc.studies.pii.found_circuits import TARGET, TWIN, find_circuits, found_anew, kept_by_group, split_by_person
from memcirc.studies.pii.samples import OTHERS, Sample, pairs_of
from memcirc.studies.pii.suppression import suppression
from memcirc.studies.pii.two_models import LOGPROB, TwoModels
from memcirc.twins import beside
from memcirc.verification.removal import FOUND_ON, MEMORIZED, Removal, removal_from
from memcirc.verification.settings import Settings
from memcirc.verification.specificity import Text
from memcirc.verification.subject import Subject


def injected_circuits(
    two: TwoModels, injected: Sequence[Sample], analysed: Sequence[Sample]
) -> InjectedCircuits | NoCircuits:
    """The circuits of the samples that the target alone recites; the reason where they cannot be found.

    Args:
        injected: all that should be recited; analysed: those that are, by the target alone.
    """
    try:
        model = _beside(two)
        pairs = pairs_of(analysed)
        train, validation, test = split_by_person(pairs)
        sufficient, necessary = find_circuits(model, train, validation, test)
        other_splits = found_anew(model, pairs, necessary)
    except ValueError as error:
        return NoCircuits(str(error))
    found_on, graph = joined(train, validation), graph_of(model)
    others = {**two.known, OTHERS: [sample for sample in two.samples if not sample.injected]}
    texts = {
        MEMORIZED: test, FOUND_ON: found_on, **{name: pairs_of(some) for name, some in others.items() if some}
    }  # fmt: skip
    return InjectedCircuits(
        n_records={"train": len(train), "validation": len(validation), "test": len(test)},
        n_edges=graph.n_edges,
        target=TARGET,
        sufficient=sufficient,
        necessary=necessary,
        other_splits=other_splits,
        groups=kept_by_group(model, (sufficient, necessary), pairs_of(injected), found_on.items),
        places=place_counts(graph, sufficient.edges, necessary.edges),
        removal=_removal(model, necessary, texts),
        suppression=suppression(model, edge_mask(graph, necessary.edges), texts),
        warning=model.alignment.warning,
    )


def _beside(two: TwoModels) -> Model:
    """The target with the control as its twin, without the warning of models that share no basis: it is on the page."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return beside(two.target, two.control)


def _removal(model: Model, necessary: FoundCircuit, texts: dict[str, Pairs]) -> list[Removal]:
    """The losses of every kind of text without the necessary circuit."""
    subject = Subject(
        model, texts[MEMORIZED], circuit=Circuit.from_edges(necessary.edges), mode="edge",
        settings=Settings(metric=LOGPROB), ablations=(TWIN,),
    )  # fmt: skip
    return removal_from(subject, [Text(name, pairs, [p.doc_id for p in pairs]) for name, pairs in texts.items()])
