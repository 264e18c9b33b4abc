"""A verification is the same in memory and in its file."""

import json
import subprocess
import sys

import pytest

from memcirc.verification.checks import CHECKS, DEFAULT_CHECKS
from memcirc.verification.curves import Curve
from memcirc.verification.faithfulness import Measurement
from memcirc.verification.record import OfPassages
from memcirc.verification.result import Verification, record_types
from memcirc.verification.verify import verify
from tests.verification.subjects import QUICK, subject


@pytest.fixture(scope="module")
def verified() -> Verification:
    made = subject()
    return verify(
        made.model, made.pairs, made.scores, mode="tree", circuit=made.circuit, checks=tuple(CHECKS),
        ablations="resample", train=made.train, passages=made.passages, **QUICK,
    )  # fmt: skip


def test_what_a_file_holds_is_read_back_as_records(verified: Verification) -> None:
    content = json.loads(json.dumps(verified.to_json()))
    again = Verification.from_json(content)
    assert json.loads(json.dumps(again.to_json())) == content
    assert [type(record) for record in again.records] == [
        type(record) for kind in record_types().values() for record in verified.of(kind)
    ]


def test_records_are_found_by_type_and_by_key(verified: Verification) -> None:
    assert verified.curve == verified.of(Curve)
    assert {row.ablation for row in verified.of(Measurement)} == {"resample"}
    assert all(row.run_mode == "tree" and "reverse" not in row.to_json() for row in verified.of(OfPassages))
    with pytest.raises(AttributeError, match="a verification has no 'nonsense'"):
        _ = verified.nonsense


def test_how_a_number_was_measured_is_flat_in_the_file(verified: Verification) -> None:
    for row in verified.to_json()["faithfulness"]:
        said = {key: row[key] for key in ("mode", "ablation", "direction", "base", "metric")}
        base = "corrupt" if row["reverse"] else "clean"
        expected = {"mode": "tree", "ablation": "resample", "base": base, "metric": "logit_diff"}
        assert said == {**expected, "direction": "denoising" if row["reverse"] else "noising"}


def test_a_file_of_another_version_is_refused_by_the_missing_field(verified: Verification) -> None:
    content = verified.to_json()
    del content["faithfulness"][0]["note"]
    with pytest.raises(ValueError, match="a record of 'faithfulness' has no note; verify the circuits anew"):
        Verification.from_json(content)


def test_what_an_older_file_does_not_have_is_its_default(verified: Verification) -> None:
    content = verified.to_json()
    for row in (*content["distribution"], *content["stability"]):
        row.pop("ratios", None)
        row.pop("found_again", None)
    again = Verification.from_json(content)
    assert [row.ratios for row in again.distribution] == [{} for _ in verified.distribution]
    assert [row.found_again for row in again.stability] == [{} for _ in verified.stability]


def test_every_check_has_its_records_and_the_names_need_no_torch() -> None:
    assert (
        *("removal", "edges", "faithfulness", "trivial", "curve", "random"),
        *("dose", "refinement", "stability", "certificates", "groups", "specificity"),
    ) == DEFAULT_CHECKS
    assert set(record_types()) == {*CHECKS, "distribution", "fates"}
    code = "import sys, memcirc.verification.record, memcirc.verification.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
