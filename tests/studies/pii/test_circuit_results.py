"""What is left without a circuit, by hand."""

from dataclasses import replace

import pytest

from tests.studies.pii.made import made_circuits, measurement


def test_what_a_removal_leaves_is_what_does_not_go_with_it() -> None:
    necessary = made_circuits().necessary
    assert necessary.left == pytest.approx(0.125)
    assert replace(necessary, test=measurement("edge", True, None)).left is None
