import json
from pathlib import Path

import pytest

from memcirc.artifacts import StageFolder, atomic, content_hash, read_json, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "old")

    def interrupted() -> None:
        with atomic(target) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_json_never_holds_nan_or_infinity(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [float("inf"), 1.5], "c": (1,)})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": [None, 1.5], "c": [1]}


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: not JSON"):
        read_json(tmp_path / "a.json")


def finished(tmp_path: Path, config: dict[str, object]) -> tuple[StageFolder, Path, Path]:
    source, folder = tmp_path / "in.txt", StageFolder(tmp_path / "stage")
    source.write_text("in")
    folder.start()
    output = folder.path / "out.txt"
    output.write_text("out")
    folder.finish(config, [source], [output], 1.0)
    return folder, source, output


def test_a_finished_stage_is_done_for_the_same_configuration_and_inputs(tmp_path: Path) -> None:
    folder, source, _ = finished(tmp_path, {"a": 1, "b": (1, 2)})
    assert folder.is_done({"a": 1, "b": (1, 2)}, [source])


def test_another_configuration_is_refused_with_the_difference_named(tmp_path: Path) -> None:
    folder, source, _ = finished(tmp_path, {"a": 1})
    with pytest.raises(ValueError, match="a was 1, now 2"):
        folder.is_done({"a": 2}, [source])


def test_a_changed_input_is_refused_by_name(tmp_path: Path) -> None:
    folder, source, _ = finished(tmp_path, {"a": 1})
    source.write_text("other")
    with pytest.raises(ValueError, match=r"in\.txt has changed"):
        folder.is_done({"a": 1}, [source])


def test_a_damaged_output_means_not_done(tmp_path: Path) -> None:
    folder, source, output = finished(tmp_path, {"a": 1})
    output.write_text("cut sh")
    assert not folder.is_done({"a": 1}, [source])


def test_what_cannot_be_used_any_more_is_told_by_name(tmp_path: Path) -> None:
    folder, source, output = finished(tmp_path, {"a": 1})
    told: list[str] = []
    output.write_text("cut sh")
    assert not folder.is_done({"a": 1}, [source], told.append)
    output.unlink()
    assert not folder.is_done({"a": 1}, [source], told.append)
    assert told == [f"{output} is damaged, or was changed by hand", f"{output} is gone"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"config": {}}', '{"config": 1, "inputs": {}}', "\xff"])
def test_an_unreadable_marker_is_no_marker_and_that_is_told(tmp_path: Path, content: str) -> None:
    folder, source, _ = finished(tmp_path, {"a": 1})
    folder.marker.write_bytes(content.encode("latin-1"))
    told: list[str] = []
    assert not folder.is_done({"a": 1}, [source], told.append)
    assert len(told) == 1
    assert str(folder.marker) in told[0]


def test_a_byte_order_mark_is_no_part_of_a_json_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json") == [1]


def test_a_started_stage_is_no_longer_done(tmp_path: Path) -> None:
    folder, source, _ = finished(tmp_path, {"a": 1})
    folder.start()
    assert not folder.is_done({"a": 1}, [source])


def test_the_content_hash_ignores_the_order_of_keys() -> None:
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1}) != content_hash({"a": 2, "b": 1})


def test_inputs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    inputs = [tmp_path / name / "scores.bin" for name in ("own", "given")]
    for number, path in enumerate(inputs):
        path.parent.mkdir()
        path.write_bytes(bytes([number]))
    folder = StageFolder(tmp_path / "stage")
    folder.start()
    folder.finish({}, inputs, [], 0.0)
    assert folder.is_done({}, inputs)
    inputs[0].write_bytes(b"else")
    with pytest.raises(ValueError, match=r"0: scores\.bin has changed"):
        folder.is_done({}, inputs)
