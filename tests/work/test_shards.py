import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.work.config import Execution
from memcirc.work.shards import Shard


@given(st.integers(1, 12), st.integers(0, 100))
def test_every_unit_belongs_to_exactly_one_shard(count: int, unit: int) -> None:
    assert sum(Shard(index, count).has(unit) for index in range(count)) == 1


@pytest.mark.parametrize("text", ["3/3", "-1/3", "1", "1/", "a/b", "1/0", "0/0", "auto/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="accepted are"):
        Shard.parse(text)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "3"}, "2/4"),
        (
            {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "6", "SLURM_ARRAY_TASK_MIN": "0",
             "SLURM_ARRAY_TASK_MAX": "10", "SLURM_ARRAY_TASK_STEP": "2"},
            "2/6",
        ),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "8"}, "1/8"),
        ({"RANK": "3", "WORLD_SIZE": "4"}, "3/4"),
        (
            {
                "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_ARRAY_TASK_MIN": "0",
                "SLURM_PROCID": "2", "SLURM_NTASKS": "4",
            },
            "6/8",
        ),
        # torchrun on each of two nodes: its ranks count over both
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "RANK": "6", "WORLD_SIZE": "8"}, "6/8"),
    ],
)  # fmt: skip
def test_schedulers_are_understood(environment: dict[str, str], expected: str) -> None:
    assert str(Shard.parse("auto", environment)) == expected


def test_an_array_with_gaps_is_refused() -> None:
    gaps = {"ID": "7", "COUNT": "2", "MIN": "3", "MAX": "7", "STEP": "1"}
    with pytest.raises(ValueError, match="numbered 3 to 7 is not evenly spaced"):
        Shard.parse("auto", {f"SLURM_ARRAY_TASK_{name}": value for name, value in gaps.items()})


def test_half_a_scheduler_is_refused() -> None:
    with pytest.raises(ValueError, match="RANK is set, but WORLD_SIZE is not"):
        Shard.parse("auto", {"RANK": "0"})


def test_auto_without_a_scheduler_says_what_it_looked_for() -> None:
    with pytest.raises(ValueError, match="SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT"):
        Shard.parse("auto", {})


def test_ray_and_a_shard_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="with --executor ray, which hands out the units itself"):
        Execution(executor="ray", shard="0/2")
    with pytest.raises(ValueError, match="workers"):
        Execution(workers=0)
