import numpy as np
import pytest
import torch

import memcirc
from memcirc.ids import id_rows, integers, plain_ids
from tests.models import small_hf_model

KINDS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32]


@pytest.mark.parametrize("dtype", KINDS)
def test_ids_of_any_integer_type_are_taken(dtype: type) -> None:
    array = np.array([[1, 2], [3, 4]], dtype)
    for ids in (array, list(array), [list(row) for row in array], array.tolist(), tuple(map(tuple, array))):
        assert id_rows(ids) == integers(ids).tolist() == [[1, 2], [3, 4]]
    assert id_rows(torch.tensor(array.astype(np.int64)).to(torch.int16)) == [[1, 2], [3, 4]]
    assert id_rows([torch.tensor([1, 2]), torch.tensor([3])]) == [[1, 2], [3]]
    assert id_rows(range(3)) == [[0, 1, 2]]


@pytest.mark.parametrize(
    "ids",
    [
        [[1.0]], [[True]], [True, 2], "12", ["1", "2"], [None], {1, 2}, {"a": 1}, 5.5, np.array([1.0]),
        np.array([True]), np.array(["a"]), np.array([None]), torch.tensor([0.5]), torch.tensor([True]), [np.float32(1)],
        [torch.tensor(1.0)], b"ab",
    ],
)  # fmt: skip
def test_what_is_no_whole_number_is_refused(ids: object) -> None:
    with pytest.raises(ValueError, match="are whole numbers, not"):
        plain_ids(ids)


@pytest.mark.parametrize("ids", [10**30, [[10**30]], [-(10**30), 1]])
def test_numbers_that_fit_no_array_are_refused(ids: object) -> None:
    with pytest.raises(ValueError, match=r"token ids lie between -2147483647 and 2147483647, not at -?10000"):
        plain_ids(ids)


@pytest.mark.parametrize("ids", [3, [[1], 2], [1, [2]], [[[1]]], np.zeros((1, 1, 1), int)])
def test_rows_are_equally_deep(ids: object) -> None:
    with pytest.raises(ValueError, match="is needed"):
        id_rows(ids)


def test_every_public_function_takes_lists_arrays_and_tensors_alike() -> None:
    model = small_hf_model("gpt2")
    tensor = torch.randint(0, model.d_vocab, (3, 12), generator=torch.Generator().manual_seed(0))
    other = (tensor + 1) % model.d_vocab
    forms = [lambda t: t, lambda t: t.tolist(), lambda t: t.numpy(), lambda t: t.numpy().astype(np.uint16)]
    forms.append(lambda t: t.to(torch.int32))
    forms.append(lambda t: list(t.numpy()) if t.ndim > 1 else list(t))
    tables, points, sweeps = [], [], []
    for form in forms:
        tables.append(memcirc.score(model, form(tensor), 6, 6))
        points.append(memcirc.divergence_points(model, form(tensor), 6, 6))
        answers, wrong = form(tensor[:, 0]), form(other[:, 0])
        sweeps.append(
            memcirc.patch_sweep(model, form(tensor), form(other), answers, wrong, read_at=form(tensor[:, 0] % 4))
        )
    assert all(table.equals(tables[0]) for table in tables)
    assert all(found == points[0] for found in points)
    for sweep in sweeps:
        np.testing.assert_array_equal(sweep.matrix(), sweeps[0].matrix())


@pytest.mark.parametrize(
    "ids", [[[0.5] * 12], [[True] * 12], [" man " * 3], np.zeros((1, 12)), np.zeros((1, 2, 6), int)]
)
def test_every_public_function_refuses_what_are_no_ids(ids: object) -> None:
    model, right = small_hf_model("gpt2"), [[1] * 12]
    for call in (
        lambda: memcirc.score(model, ids, 6, 6),
        lambda: memcirc.divergence_points(model, ids, 6, 6),
        lambda: memcirc.patch_sweep(model, ids, right, [1], [2]),
        lambda: memcirc.patch_sweep(model, right, ids, [1], [2]),
        lambda: memcirc.patch_sweep(model, right, right, ids, [2]),
        lambda: model.logits(ids),
    ):
        with pytest.raises(ValueError, match=r"needed|shape|whole numbers"):
            call()
