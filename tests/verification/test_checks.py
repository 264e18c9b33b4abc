"""The checks that discover anew, read running text, or knock out: each against a case whose answer is known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from memcirc import engines
from memcirc.attribution.attribute import attribute
from memcirc.circuit import Circuit
from memcirc.circuits.runner import circuit_runner
from memcirc.engine.decoding import decode
from memcirc.memorization.generation import greedy
from memcirc.pairs.record import Pair, Pairs
from memcirc.statistics import resample_counts
from memcirc.verification.dose import dose_response
from memcirc.verification.faithfulness import distribution, measure, pair_ratios
from memcirc.verification.generation import generation, recitation
from memcirc.verification.knockout import knock_out
from memcirc.verification.method_overlaps import method_overlaps
from memcirc.verification.origin import check_origin
from memcirc.verification.passages import Choice, passages_from, passages_of
from memcirc.verification.specificity import loss, repeated, specificity
from memcirc.verification.stability import jaccard, stability
from memcirc.verification.time_resolved import DELAYS, continuations, delayed, is_branch, time_resolved
from memcirc.verification.transfer import transfer
from memcirc.verification.verify import verify
from tests.models import D_VOCAB, random_pairs, small_model
from tests.verification.subjects import documents, passages, subject


def test_a_measurement_lies_within_its_interval_and_its_pairs_ratios_average_to_the_mean_ratio() -> None:
    made = subject()
    row = measure(made.runner(), made.circuit)
    assert row.low is not None
    assert row.high is not None
    assert row.low <= row.faithfulness <= row.high  # type: ignore[operator]
    ratios = pair_ratios(made.runner(), made.runner().per_pair([made.circuit])[0], "logit_diff")
    assert row.mean_ratio == pytest.approx(ratios.mean())


def test_the_worst_pairs_are_those_of_the_lowest_ratios() -> None:
    made = subject()
    found = distribution(made.runner(), made.circuit)
    ratios = pair_ratios(made.runner(), made.runner().per_pair([made.circuit])[0], "logit_diff")
    assert [case["pair"] for case in found.worst] == np.argsort(ratios)[:5].tolist()
    assert found.quantiles["0.5"] == pytest.approx(np.median(ratios))
    assert found.outside == pytest.approx((ratios < 0).mean())


@pytest.mark.parametrize("mode", ["tree", "edge"])
def test_faithfulness_is_zero_and_one_at_the_ends_in_both_directions(mode: str) -> None:
    made = subject(mode=mode)
    for ablation in ("resample", "zero"):
        for reverse in (False, True):
            runner = made.runner(ablation, reverse)
            masks = torch.stack([torch.zeros(made.graph.n_edges), torch.ones(made.graph.n_edges)]).bool()
            assert runner.faithfulness(masks).tolist() == pytest.approx([0, 1])


def test_knocking_out_everything_leaves_nothing_and_no_second_circuit() -> None:
    made = subject(n_edges=0 + 100, mode="tree")
    row = knock_out(made)[0]
    alone = made.runner().faithfulness(~made.mask[None])[0]
    assert row.without_circuit == pytest.approx(float(alone))
    assert row.n_subsets == 20
    first = row.rounds[0]
    assert first["faithfulness"] >= 0.85 or not first["target_met"]
    assert len(row.back_ups) == 5


def test_the_circuit_that_answers_as_the_model_does_is_complete() -> None:
    made = subject(n_edges=30)
    whole = Circuit(frozenset(made.graph.edges))
    everything = type(made)(made.model, made.pairs, whole, "tree", made.settings, made.scores)
    row = knock_out(everything)[0]
    assert row.incompleteness == pytest.approx(0, abs=1e-9)
    assert (row.n_candidates, row.rounds) == (0, [])


def test_a_circuit_of_no_edges_has_no_knock_out_and_no_stability() -> None:
    empty = subject(n_edges=0)
    for check in (knock_out, stability):
        with pytest.raises(ValueError, match="a circuit of 0 edges"):
            check(empty)


def test_jaccard_is_shared_over_either() -> None:
    some = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 1]]).bool()
    assert jaccard(some, some).tolist() == [[1, 0], [0, 1]]
    assert jaccard(some[:1], torch.tensor([[1, 0, 1, 0]]).bool())[0, 0] == pytest.approx(1 / 3)


OWN_WAYS = ({}, {"ablation": "zero", "reverse": True}, {"objective": "answer_logprob"})


@pytest.mark.parametrize("options", OWN_WAYS)
def test_rediscovery_is_attribution_on_resampled_documents(options: dict[str, object]) -> None:
    """The fast way averages rows of scores; here every resample is attributed anew."""
    made = subject(attribution=options, settings={"n_rediscoveries": 4})
    assert made.train is not None
    row = stability(made)[0]
    overlaps, every = [], made.mask
    for counts in resample_counts(made.train.components(), 4, made.settings.seed):
        drawn = Pairs(tuple(p for p, n in zip(made.train, counts, strict=True) for _ in range(int(n))))
        again = attribute(made.model, drawn, "eap", **options).top(len(made.circuit))
        overlaps.append(len(again.edges & made.circuit.edges) / len(again.edges | made.circuit.edges))
        every = every & again.mask(made.graph)
    assert row.jaccard_found == pytest.approx(np.mean(overlaps))
    assert row.core >= int(every.sum())
    assert row.low <= row.faithfulness <= row.high


@pytest.mark.parametrize("options", OWN_WAYS)
def test_the_circuits_own_method_overlaps_with_it_fully(options: dict[str, object]) -> None:
    made = subject(attribution=options)
    rows = method_overlaps(made)
    (own,) = [r for r in rows if (r.method, r.selection, r.by) == ("eap", "top", "abs")]
    assert (own.jaccard, own.spearman) == pytest.approx((1, 1))
    assert own.faithfulness == pytest.approx(float(made.runner().faithfulness([made.circuit])[0]))
    assert len(rows) == (4 - ("ablation" in options)) * 3


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


def test_loss_under_all_edges_is_the_models_own() -> None:
    model, text = small_model("gpt2"), passages()
    pairs = text.pairs(text.memorized)
    every = torch.ones(1, subject(model=model).graph.n_edges, dtype=torch.bool)
    found = loss(model, pairs, every, text.pairs(text.ordinary))[0]
    ids = torch.from_numpy(text.memorized)
    logprobs = model.logits(ids[:, :-1]).log_softmax(-1)
    said = logprobs.gather(-1, ids[:, 1:, None])[:, text.prompt_tokens - 1 :, 0]
    assert torch.from_numpy(found).allclose(-said.mean(1).double())


def test_specificity_knocks_the_circuit_out_of_every_kind_of_text() -> None:
    made = subject(n_edges=60, passages=passages(10))
    rows = specificity(made)
    assert [row.text for row in rows] == ["memorized", "not memorized", "ordinary", "repeated random tokens"]
    for row in rows:
        assert row.rise == pytest.approx(row.knocked_out - row.intact)
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.rise <= row.high
        assert row.copying_rise is None
        assert 0 <= row.shared_with_ordinary <= 1
    assert "does not copy" in rows[-1].note


def test_passages_of_too_few_documents_have_no_interval() -> None:
    """Ten passages, two documents: what is drawn anew are documents, of which two are too few."""
    text = passages(10)
    named = replace(text, doc_ids=tuple(f"document-{i % 2}" for i in range(10)))
    memorized, other, *_ = specificity(subject(passages=named))
    assert (memorized.low, memorized.high) == (None, None)
    assert other.low is not None


def test_circuits_for_other_text_are_not_found_on_what_they_are_measured_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import memcirc.verification.specificity as module

    found: list[Pair] = []
    measured: list[Pair] = []
    real_attribute, real_loss = module.attribute, module.loss

    def spied_attribute(model: object, pairs: Pairs, **options: object) -> object:
        found.extend(pairs)
        return real_attribute(model, pairs, **options)  # type: ignore[arg-type]

    def spied_loss(model: object, pairs: Pairs, kept: torch.Tensor, reference: Pairs, engine: str) -> object:
        measured.extend(pairs)
        found.extend(reference)
        return real_loss(model, pairs, kept, reference, engine)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "attribute", spied_attribute)
    monkeypatch.setattr(module, "loss", spied_loss)
    rows = specificity(subject(n_edges=60, settings={"copying_gain": -100.0}))
    assert all(row.copying_rise is not None for row in rows)
    assert {row.text: row.n_passages for row in rows}["repeated random tokens"] == module.N_REPEATED

    def begins(pairs: list[Pair]) -> set[tuple[int, ...]]:
        return {pair.clean_ids[:4] for pair in pairs}

    assert found
    assert not begins(found) & begins(measured)


def test_one_ordinary_passage_cannot_be_halved() -> None:
    text = passages()
    with pytest.raises(ValueError, match="1 ordinary passages; 2 are needed"):
        specificity(subject(passages=replace(text, ordinary=text.ordinary[:1])))


def test_checks_in_edge_mode_say_that_text_is_run_in_tree_mode() -> None:
    made = subject(mode="edge")
    for rows in (specificity(made), generation(made)):
        assert {(row.mode, row.run_mode) for row in rows} == {("edge", "tree")}


def test_every_interval_is_of_the_resamples_that_were_asked_for() -> None:
    """One resample leaves no room between the bounds."""
    made = subject(settings={"n_resamples": 1}, passages=passages(10))
    (measured, *_) = verify(
        made.model, made.pairs, made.circuit, mode="tree", checks=("faithfulness",), n_resamples=1
    ).faithfulness
    table = transfer(made.model, {"own": {"tree": made.circuit}}, {"own": made.pairs}, n_resamples=1)
    for row in (measured, table.cells[0].measured, *specificity(made)):
        assert row.low is not None
        assert row.low == row.high


def test_repeated_tokens_are_said_twice() -> None:
    model = small_model("gpt2")
    for pair in repeated(model, passages(), seed=0, n_pairs=3):
        half = len(pair.clean_ids) - 1
        assert (*pair.clean_ids[:half], *pair.clean_ids, *pair.answer_sequence_ids)[half:] == pair.clean_ids[
            :half
        ] + pair.clean_ids[:1] + pair.answer_sequence_ids
        assert pair.answer_sequence_ids == pair.clean_ids[1:half]


def test_generation_under_all_edges_is_the_models_own_and_under_none_the_others() -> None:
    made = subject(n_edges=30)
    rows = generation(made)
    text = made.passages
    assert text is not None
    prompts, truth = torch.from_numpy(text.memorized[:, :4]), torch.from_numpy(text.memorized[:, 4:])
    said = greedy(made.model, prompts, 5)
    assert recitation(rows, "model").score == pytest.approx(float((said == truth).double().mean()))
    other = greedy(made.model, torch.from_numpy(text.others[:, :4]), 5)
    assert recitation(rows, "nothing").score == pytest.approx(float((other == truth).double().mean()))
    kept = decode(made.model, prompts, torch.from_numpy(text.others[:, :4]), made.mask, 5)
    assert recitation(rows, "only the circuit").score == pytest.approx(float((kept == truth).double().mean()))
    assert {row.copies for row in rows} == {None, 1, 2}


def branch_subject(n_pairs: int = 12, length: int = 4, rest: int = 12, **attribution: object) -> object:
    """A subject whose pairs are branch decisions of known passages: the truth is what the model says behind clean."""
    model = small_model("gpt2")
    parts = []
    for seed in (1, 2):
        prompts = random_pairs(n_pairs, lengths=length, shared=length - 1, seed=seed)
        said = greedy(model, torch.tensor([p.clean_ids for p in prompts]), rest).tolist()
        wrong = greedy(model, torch.tensor([p.corrupt_ids for p in prompts]), rest).tolist()
        items, windows = [], {}
        for i, (pair, truth, other) in enumerate(zip(prompts, said, wrong, strict=True)):
            if truth[0] != other[0]:
                name = f"doc-{seed}-{i}"
                items.append(
                    Pair(pair.clean_ids, pair.corrupt_ids, (truth[0],), (other[0],), doc_id=name, divergence=length - 1)
                )
                windows[name] = [(*pair.clean_ids, *truth)]
        parts.append((Pairs(tuple(items)), windows))
    base = passages()
    text = type(base)(
        4, base.memorized, base.copies, base.doc_ids, base.others, base.ordinary, {**parts[0][1], **parts[1][1]}
    )
    return subject(model=model, train=parts[0][0], passages=text, attribution=attribution), parts[1][0]


def test_pairs_at_a_delay_have_that_many_more_tokens_of_each_side() -> None:
    made, test = branch_subject()  # type: ignore[misc]
    said = continuations(made.model, test, 3)
    later = delayed(made.model, test, made.passages, 2)
    assert len(later) + sum(later.dropped.values()) == len(test)
    by = {pair.doc_id: (pair, tokens) for pair, tokens in zip(test, said, strict=True)}
    for pair in later:
        first, tokens = by[pair.doc_id]
        truth = made.passages.truth_after(first)
        assert pair.clean_ids == first.clean_ids + truth[:2]
        assert pair.corrupt_ids == first.corrupt_ids + tokens[:2]
        assert (pair.answer_ids, pair.wrong_answer_ids) == ((truth[2],), (tokens[2],))


def test_at_the_onset_the_pairs_are_the_pairs_themselves() -> None:
    made, test = branch_subject()  # type: ignore[misc]
    assert all(is_branch(pair) for pair in test)
    onset = delayed(made.model, test, made.passages, 0)
    assert [(p.clean_ids, p.answer_ids, p.wrong_answer_ids) for p in onset] == [
        (p.clean_ids, p.answer_ids, p.wrong_answer_ids) for p in test
    ]


def test_time_resolved_circuits_overlap_fully_with_themselves() -> None:
    made, test = branch_subject(n_pairs=30)  # type: ignore[misc]
    rows = time_resolved(type(made)(
        made.model, test, made.circuit, "tree", made.settings, made.scores, train=made.train, passages=made.passages
    ))  # fmt: skip
    assert rows[0].delay == 0
    assert rows[0].spearman == pytest.approx(1)
    for index, row in enumerate(rows):
        assert row.delay in DELAYS
        assert row.overlap[index] == pytest.approx(1)
        assert math.isfinite(row.onset_faithfulness)


def test_pairs_that_are_no_branch_decisions_have_no_later_tokens() -> None:
    with pytest.raises(ValueError, match=r"0 training and 0 test pairs have a known continuation.*at least 8"):
        time_resolved(subject())


def test_circuits_of_later_tokens_are_found_by_the_circuits_own_method(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(Exception):
        pass

    def asked(*_: object, **options: object) -> None:
        raise Asked(options)

    made, test = branch_subject(ablation="zero", reverse=True)  # type: ignore[misc]
    monkeypatch.setattr("memcirc.verification.time_resolved.attribute", asked)
    with pytest.raises(Asked) as told:
        time_resolved(replace(made, pairs=test, settings=replace(made.settings, fewest_pairs=1)))
    (options,) = told.value.args
    assert (options["method"], options["ablation"], options["reverse"]) == ("eap", "zero", True)


def test_the_dose_rows_average_to_the_whole() -> None:
    made = subject()
    rows = dose_response(made)
    assert [row.copies for row in rows] == [1, 2, 3]
    n = np.array([row.n_pairs for row in rows])
    runner = circuit_runner(made.model, made.pairs, mode="tree")
    assert n @ [row.circuit for row in rows] / n.sum() == pytest.approx(float(runner.per_pair([made.circuit]).mean()))
    assert n @ [row.carried for row in rows] / n.sum() == pytest.approx(
        float(runner.per_pair([made.circuit]).mean()) - runner.ends().nothing
    )


def test_pairs_that_do_not_say_their_copies_have_no_dose() -> None:
    made = subject()
    unknown = Pairs(tuple(random_pairs(3)))
    with pytest.raises(ValueError, match="3 of 3 pairs do not say how often"):
        dose_response(type(made)(made.model, unknown, made.circuit, "tree", made.settings))


def table(scores: list[float]) -> pa.Table:
    n = len(scores)
    tokens = np.random.default_rng(0).integers(0, D_VOCAB, (n, 8)).tolist()
    return pa.table({"tokens": tokens, "memorization_score": scores, "doc_id": [f"d{i}" for i in range(n)],
                     "copies": list(range(n))})  # fmt: skip


def test_passages_are_chosen_by_score_and_document() -> None:
    chosen = passages_of(table([1.0, 1.0, 0.0, 0.1, 0.2, 0.3]), 4, "d1", n_passages=2)
    assert (chosen.doc_ids, chosen.copies.tolist()) == (("d1",), [1])
    assert len(chosen.others) == len(chosen.ordinary) == 2
    taken = {tuple(row) for row in chosen.others.tolist()} & {tuple(row) for row in chosen.ordinary.tolist()}
    assert not taken
    assert set(chosen.windows) == {"d0", "d1"}


def test_passages_from_a_file_are_those_of_the_whole_table(tmp_path: Path) -> None:
    scores = np.random.default_rng(3).permutation(np.repeat([0.0, 0.2, 1.0], 10)).tolist()
    whole = table(scores)
    pq.write_table(whole, tmp_path / "scores.parquet", row_group_size=4)
    documents = {f"d{i}" for i in range(20)}
    found = passages_from(tmp_path / "scores.parquet", Choice(4, documents, 6))
    expected = passages_of(whole, 4, documents, n_passages=6)
    for name in ("memorized", "others", "ordinary", "copies"):
        assert (getattr(found, name) == getattr(expected, name)).all()
    assert (found.doc_ids, found.windows) == (expected.doc_ids, expected.windows)


def test_passages_that_cannot_be_had_refuse_their_checks_alone() -> None:
    made = subject(passages=lambda: passages_of(table([1.0, 0.0, 0.0]), 4, {"d7"}))
    result = verify(
        made.model, made.pairs, made.circuit, mode="tree", checks=("specificity", "dose"), passages=made.passages
    )
    assert result.refused == (
        "tree, specificity: 0 memorized passages of the wanted documents and 2 others; 1 and 2 are needed",
    )
    assert result.dose


def test_too_few_passages_are_refused_with_their_numbers() -> None:
    with pytest.raises(ValueError, match="0 memorized passages of the wanted documents and 2 others"):
        passages_of(table([1.0, 0.0, 0.0]), 4, {"d7"})


def test_what_was_not_given_is_asked_for_by_name() -> None:
    bare = subject(scores=None, train=None, passages=None)
    for name, what in (("scores", "edge scores"), ("train", "train="), ("passages", "passages=")):
        with pytest.raises(ValueError, match=f"needs .*{what}"):
            bare.needed(name)


def test_the_engine_that_is_asked_for_computes_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = subject(engine="auto-circuit", n_edges=20), []

    def spied(name: str) -> object:
        asked.append(name)
        return engines.engine_module("native")

    for module in ("memcirc.circuits.runner", "memcirc.attribution.mask_gradients"):
        monkeypatch.setattr(f"{module}.engine_module", spied)
    specificity(made)
    assert set(asked) == {"auto-circuit"}
    with pytest.raises(ValueError, match="engine 'auto-circuit' does not decode under a circuit"):
        generation(made)
    stated = verify(made.model, made.pairs, made.circuit, mode="tree", checks=("faithfulness",), engine="auto-circuit")
    assert stated.statement["engine"] == "auto-circuit"
