import multiprocessing
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from memcirc.work.locks import at_work
from memcirc.work.shards import Shard


def hold(folder: Path, held: Event) -> None:
    with at_work(folder):
        held.set()
        multiprocessing.Event().wait(60)


def test_a_second_run_on_one_directory_is_refused_until_the_first_has_died(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held = context.Event()
    other = context.Process(target=hold, args=(tmp_path, held))
    other.start()
    assert held.wait(30)
    for shard in (None, Shard(0, 2)):
        with pytest.raises(ValueError, match=f"is at work: process {other.pid} on"), at_work(tmp_path, shard):
            pass
    other.kill()
    other.join()
    with at_work(tmp_path):
        pass


def test_shards_work_together_but_not_twice(tmp_path: Path) -> None:
    with at_work(tmp_path, Shard(0, 2)), at_work(tmp_path, Shard(1, 2)):
        with pytest.raises(ValueError, match=r"shard 1/2 of .* is at work"), at_work(tmp_path, Shard(1, 2)):
            pass
        with pytest.raises(ValueError, match="is at work"), at_work(tmp_path):
            pass
