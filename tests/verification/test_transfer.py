"""Transfer: a circuit on another data set, and what is refused."""

import json
from dataclasses import replace

import pytest

from memcirc.circuit import Circuit
from memcirc.origin import check_origin
from memcirc.pairs.record import Pairs
from memcirc.verification.faithfulness import measure
from memcirc.verification.subject import Subject
from memcirc.verification.transfer import Cell, Transfer, transfer
from tests.models import random_pairs, small_model
from tests.verification.subjects import documents, subject


def test_the_diagonal_of_a_transfer_is_the_circuits_own_number() -> None:
    made, other = subject(), documents(random_pairs(6, seed=7), "other")
    table = transfer(
        made.model,
        {"own": {"tree": made.circuit, "edge": made.circuit}},
        {"own": made.pairs, "other": other},
        {"own": made.train},  # type: ignore[dict-item]
    )
    assert len(table.cells) == 2 * 2 * 2
    own = {(c.measured.mode, c.measured.reverse): c.measured for c in table.cells if c.data == "own"}
    for reverse in (False, True):
        assert own["tree", reverse] == measure(made.runner(reverse=reverse), made.circuit)
    assert table.matrix("tree", "noising")["own"]["own"] == own["tree", False].faithfulness


def test_pairs_of_documents_that_a_circuit_was_found_on_are_left_out_of_its_transfer() -> None:
    made = subject()
    assert made.train is not None
    mixed = Pairs((*made.pairs.items[:4], *made.train.items[:3]), made.pairs.header)
    (cell, _) = transfer(made.model, {"own": {"tree": made.circuit}}, {"mixed": mixed}, {"own": made.train}).cells
    assert (cell.n_seen, cell.measured.n_pairs) == (3, 4)
    refused = transfer(made.model, {"own": {"tree": made.circuit}}, {"seen": made.train}, {"own": made.train})
    assert refused.cells == ()
    assert "all 8 pairs are of documents that the circuit was found on" in refused.refused[0]


def test_pairs_of_another_tokenizer_and_circuits_of_another_graph_are_refused_beside_the_rest() -> None:
    made = subject()
    foreign = Pairs(made.pairs.items, {"model": "other", "model_fingerprint": "0" * 16, "dtype": "float64"})
    circuits = {"own": {"tree": made.circuit}, "alien": {"tree": Circuit.from_edges(["a9.h9->logits"])}}
    table = transfer(made.model, circuits, {"own": made.pairs, "foreign": foreign})
    assert {(c.circuit, c.data) for c in table.cells} == {("own", "own")}
    assert any("no edge 'a9.h9->logits' in this graph of" in line for line in table.refused)
    assert any("pairs 'foreign' of model 0000000000000000 (other)" in line for line in table.refused)


def test_another_tokenizer_is_named_with_both_fingerprints() -> None:
    class Tokenizer:
        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

    model = small_model("gpt2")
    spoken = type(model)(model.name, model.source, Tokenizer())
    with pytest.raises(ValueError, match=r"pairs of tokenizer feed .*the model at hand has"):
        check_origin(spoken, {"tokenizer_fingerprint": "feed"}, "pairs")
    check_origin(spoken, {}, "pairs")


def cells() -> tuple[Transfer, Subject]:
    made = subject()
    circuits = {"a": {"tree": made.circuit}, "b": {"edge": made.circuit}}
    return transfer(made.model, circuits, {"own": made.pairs, "other": documents(random_pairs(6, seed=7), "o")}), made


def test_every_circuit_meets_every_data_set_in_both_directions_and_tells_its_split() -> None:
    table, made = cells()
    found = [(c.circuit, c.data, c.measured.mode, c.measured.reverse) for c in table.cells]
    assert found == [
        (circuit, data, mode, reverse)
        for circuit, mode in (("a", "tree"), ("b", "edge"))
        for data in ("own", "other")
        for reverse in (False, True)
    ]
    assert table.refused == ()
    assert [cell.split for cell in table.cells[:3]] == ["test", "test", "o"]
    assert table.cells[0].data_fingerprint == made.pairs.fingerprint
    assert all(cell.n_seen == 0 for cell in table.cells)


def test_a_matrix_holds_the_cells_of_its_mode_and_direction_alone() -> None:
    table, _ = cells()
    by = {(c.circuit, c.data, c.measured.direction): c.measured.faithfulness for c in table.cells}
    for mode, name in (("tree", "a"), ("edge", "b")):
        for direction in ("noising", "denoising"):
            assert table.matrix(mode, direction) == {
                name: {data: by[name, data, direction] for data in ("own", "other")}
            }
    assert table.matrix("tree", "sideways") == {}


def test_a_cell_is_read_back_as_it_was_written() -> None:
    table, _ = cells()
    for cell in table.cells:
        assert Cell.from_json({**json.loads(json.dumps(cell.to_json())), "more": 1}) == cell


def test_what_is_no_circuit_is_refused_beside_the_rest() -> None:
    made = subject()
    table = transfer(made.model, {"own": {"tree": made.circuit, "edge": {"input->logits"}}}, {"own": made.pairs})  # type: ignore[dict-item]
    assert {cell.measured.mode for cell in table.cells} == {"tree"}
    (line,) = table.refused
    assert line.startswith("transfer of own, edge: ")
    assert "is no Circuit; Circuit.from_edges makes one" in line


@pytest.mark.parametrize("field", ["doc_id", "corrupt_doc_id", "family"])
def test_pairs_that_share_a_document_or_a_family_were_seen(field: str) -> None:
    made = subject()
    items = list(made.pairs.items)
    items[0] = replace(items[0], **{field: "shared"})
    seen = Pairs((replace(made.train[0], family="shared"),))  # type: ignore[index]
    table = transfer(made.model, {"own": {"tree": made.circuit}}, {"own": Pairs(tuple(items))}, {"own": seen})
    assert table.cells[0].n_seen == 1
    assert table.cells[0].measured.n_pairs == len(items) - 1


def test_pairs_without_a_name_share_nothing() -> None:
    made = subject()
    table = transfer(made.model, {"own": {"tree": made.circuit}}, {"bare": random_pairs(6)}, {"own": random_pairs(2)})
    assert table.cells[0].n_seen == 0


def test_what_is_measured_is_asked_by_metric_and_resamples() -> None:
    made = subject()
    table = transfer(made.model, {"own": {"tree": made.circuit}}, {"own": made.pairs}, metric="prob_diff", seed=3)
    expected = measure(made.runner(), made.circuit, "prob_diff", 3)
    assert table.cells[0].measured == expected
    with pytest.raises(TypeError, match="transfer"):
        transfer(made.model, {}, {}, resamples=3)  # type: ignore[call-arg]
