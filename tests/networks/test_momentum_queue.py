"""The queue: order, wrap-around, what is saved, and its size for a data set."""

from __future__ import annotations

import logging
from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monai_ext.networks import MomentumQueue, fitting_queue_size


def numbers(*values: float) -> Tensor:
    return torch.tensor(values).reshape(-1, 1)


def oldest_first(queue: MomentumQueue) -> list[float]:
    return queue.embeddings.roll(-int(queue.pointer), dims=0).flatten().tolist()


def test_the_oldest_embeddings_are_replaced_and_the_rest_wraps_around():
    queue = MomentumQueue(5, features=1)
    for batch in (numbers(1, 2), numbers(3, 4), numbers(5, 6), numbers(7, 8)):
        queue.enqueue(batch)
    assert queue.embeddings.flatten().tolist() == [6, 7, 8, 4, 5]
    assert int(queue.pointer) == 3
    assert oldest_first(queue) == [4, 5, 6, 7, 8]


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 7), batches=st.lists(st.integers(1, 7), max_size=12))
def test_the_queue_holds_the_newest_embeddings_in_order_whatever_the_batches(size, batches):
    queue, newest, written = MomentumQueue(size, features=1), deque(maxlen=size), 0
    for count in (min(batch, size) for batch in batches):
        values = [float(value) for value in range(written, written + count)]
        queue.enqueue(numbers(*values))
        newest.extend(values)
        written += count
    assert queue.is_full == (written >= size)
    assert oldest_first(queue)[size - len(newest) :] == list(newest)


def test_until_it_is_full_it_holds_random_directions_of_unit_length():
    queue = MomentumQueue(50, features=8)
    torch.testing.assert_close(queue.embeddings.norm(dim=1), torch.ones(50))
    assert not queue.is_full


def test_a_saved_queue_goes_on_at_the_same_place():
    first, second = MomentumQueue(4, features=1), MomentumQueue(4, features=1)
    first.enqueue(numbers(1, 2, 3))
    second.load_state_dict(first.state_dict())
    for queue in (first, second):
        queue.enqueue(numbers(4, 5))
    assert second.embeddings.flatten().tolist() == [5, 2, 3, 4] == first.embeddings.flatten().tolist()
    assert (int(second.pointer), second.is_full) == (1, True)


def test_what_is_enqueued_is_a_copy_in_the_queues_precision_without_gradient():
    queue, batch = MomentumQueue(2, features=1), numbers(1, 2).double().requires_grad_()
    queue.enqueue(batch)
    with torch.no_grad():
        batch.zero_()
    assert queue.embeddings.dtype == torch.float32
    assert not queue.embeddings.requires_grad
    assert queue.embeddings.flatten().tolist() == [1, 2]


@pytest.mark.parametrize("shape", [(4, 2), (2, 3), (2,)])
def test_batches_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"queue of 3 embeddings of length 2.*larger queue or a smaller batch"):
        MomentumQueue(3, features=2).enqueue(torch.zeros(shape))


@pytest.mark.parametrize(("size", "features"), [(0, 2), (2, 0)])
def test_an_empty_queue_is_refused(size, features):
    with pytest.raises(ValueError, match="at least 1; received"):
        MomentumQueue(size, features=features)


@pytest.mark.parametrize(
    ("size", "samples", "fitting", "reason"),
    [
        (64, 1000, 64, None),
        (65536, 1000, 992, "several keys of the same images"),
        (100, 10, 8, "several keys of the same images"),
        (5, 1000, 8, "a batch must fit"),
    ],
)
def test_the_size_fits_the_data_and_the_batch_and_a_change_says_why(size, samples, fitting, reason, caplog):
    with caplog.at_level(logging.WARNING):
        assert fitting_queue_size(size, samples=samples, batch_size=8) == fitting
    assert (reason is None) == (caplog.text == "")
    assert (reason or "") in caplog.text


def ids(*values: int) -> Tensor:
    return torch.tensor(values)


def test_ids_stand_beside_their_embeddings_and_wrap_around_with_them():
    queue = MomentumQueue(3, features=1)
    assert not queue.is_own(ids(0, -1)).any()  # nothing is written yet, and the unknown is nobody's own
    queue.enqueue(numbers(7, 8), ids(7, 8))
    queue.enqueue(numbers(9, 7), ids(9, 7))
    assert queue.embeddings.flatten().tolist() == [7, 8, 9]
    assert queue.is_own(ids(7, 9, 4)).tolist() == [[True, False, False], [False, False, True], [False] * 3]


def test_embeddings_without_ids_belong_to_nobody():
    queue = MomentumQueue(2, features=1)
    queue.enqueue(numbers(1, 2), ids(1, 2))
    queue.enqueue(numbers(3))
    assert queue.is_own(ids(1, 2)).tolist() == [[False, False], [False, True]]
    assert not MomentumQueue(2, features=1, sample_ids=False).is_own(ids(1, 2)).any()


def test_a_number_of_ids_other_than_that_of_embeddings_is_refused():
    with pytest.raises(ValueError, match=r"2 embeddings is of one sample; received ids of shape \(3,\)"):
        MomentumQueue(4, features=1).enqueue(numbers(1, 2), ids(1, 2, 3))


def test_a_queue_that_was_saved_without_ids_is_of_unknown_samples_and_says_so(caplog):
    old, queue = MomentumQueue(2, features=1, sample_ids=False), MomentumQueue(2, features=1)
    old.enqueue(numbers(1, 2))
    queue.enqueue(numbers(5, 6), ids(5, 6))
    queue.load_state_dict(old.state_dict())
    assert "saved without the ids of its samples" in caplog.text
    assert queue.embeddings.flatten().tolist() == [1, 2]
    assert not queue.is_own(ids(5, 6)).any()
    assert "sample_ids" not in old.state_dict()
