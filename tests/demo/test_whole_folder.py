"""A folder is whole or not there."""

import pytest

from memcirc.demo.whole_folder import whole_folder


def test_a_folder_appears_when_all_in_it_is_written(tmp_path):
    with whole_folder(tmp_path / "deep" / "made", "last") as partial:
        (partial / "last").write_text("x")
        assert not (tmp_path / "deep" / "made").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["made"]
    assert (tmp_path / "deep" / "made").stat().st_mode & 0o777 == 0o755


def test_nothing_is_left_of_one_that_was_not_finished(tmp_path):
    def interrupted():
        with whole_folder(tmp_path / "made", "last") as partial:
            (partial / "first").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("there", "stands"), [("last", True), ("something else", False)])
def test_a_whole_folder_that_came_first_stands_and_anything_else_is_refused(tmp_path, there, stands):
    folder = tmp_path / "made"

    def overtaken():
        with whole_folder(folder, "last") as partial:
            (partial / "last").write_text("mine")
            folder.mkdir()
            (folder / there).write_text("the other one's")

    if stands:
        overtaken()
    else:
        with pytest.raises(OSError, match="made"):
            overtaken()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (folder / there).read_text() == "the other one's"
