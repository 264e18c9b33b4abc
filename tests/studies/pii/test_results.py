"""The residual stream's effects among those of all sites."""

from memcirc.studies.pii.results import after_blocks
from tests.studies.pii.made import EFFECTS


def test_after_blocks_are_the_outputs_of_blocks_alone_in_order() -> None:
    assert [(e.layer, e.effect) for e in after_blocks(EFFECTS)] == [(0, 2.0), (1, 6.0)]
