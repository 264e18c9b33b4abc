"""Cutting documents, and reading windows back."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcirc.corpus import read_windows
from memcirc.corpus.windows import cut


@given(ids=st.lists(st.integers(0, 99), max_size=40), tokens=st.integers(2, 9), bos=st.sampled_from([None, 7]))
def test_windows_lie_end_to_end_and_only_the_rest_is_missing(ids, tokens, bos):
    own = tokens - (bos is not None)
    windows = list(cut(ids, tokens, every=True, bos=bos))
    assert [offset for offset, _ in windows] == [own * number for number in range(len(ids) // own)]
    assert all(len(window) == tokens for _, window in windows)
    joined = [token for _, window in windows for token in window[tokens - own :]]
    assert joined == ids[: own * len(windows)]
    assert bos is None or all(window[0] == bos for _, window in windows)


@given(ids=st.lists(st.integers(0, 99), max_size=40), tokens=st.integers(2, 9))
def test_the_first_window_is_the_first_of_all(ids, tokens):
    assert list(cut(ids, tokens, every=False)) == list(cut(ids, tokens, every=True))[:1]


def test_what_are_no_windows_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of windows .*make it with `memcirc prepare`"):
        read_windows(tmp_path / "gone.parquet")
    (tmp_path / "text.parquet").write_text("text")
    with pytest.raises(ValueError, match=r"text\.parquet: not a whole parquet file"):
        read_windows(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="no windows but a table of a, b"):
        read_windows(tmp_path / "other.parquet")
