"""Epochs, iterations and images."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.engines import TrainingLength


def test_epochs_are_whole_batches_that_cover_the_data():
    length = TrainingLength(100, batch_size=32, epochs=3)
    assert (length.epoch_length, length.total_iterations, length.max_epochs, length.images_seen) == (4, 12, 3, 384)


def test_a_budget_of_images_comes_before_epochs_and_may_cut_the_last_epoch():
    length = TrainingLength(100, batch_size=32, epochs=1600, images_seen=200)
    assert (length.total_iterations, length.max_epochs, length.images_seen) == (7, 2, 224)


def test_the_limit_shortens_and_never_lengthens(caplog):
    with caplog.at_level(logging.INFO):
        assert TrainingLength(10, batch_size=5, epochs=1600, epochs_limit=8).total_iterations == 16
    assert "limited to 8 epochs (80 images)" in caplog.text
    assert TrainingLength(10, batch_size=5, epochs=3, epochs_limit=8).total_iterations == 6
    assert TrainingLength(10, batch_size=5, images_seen=15, epochs_limit=8).total_iterations == 3


@given(
    samples=st.integers(1, 10_000), first=st.integers(1, 512), second=st.integers(1, 512), budget=st.integers(1, 10**6)
)
def test_two_batch_sizes_see_the_same_images_to_within_one_batch(samples, first, second, budget):
    for batch_size in (first, second):
        length = TrainingLength(samples, batch_size=batch_size, images_seen=budget)
        assert 0 <= length.images_seen - budget < batch_size
        assert (length.max_epochs - 1) * length.epoch_length < length.total_iterations
        assert length.total_iterations <= length.max_epochs * length.epoch_length


def test_a_length_must_be_given():
    with pytest.raises(ValueError, match="by epochs or by images_seen; neither was given"):
        TrainingLength(10, batch_size=5)


@pytest.mark.parametrize("name", ["samples", "batch_size", "epochs", "images_seen", "epochs_limit"])
def test_numbers_below_one_are_refused_by_name(name):
    numbers = {"samples": 10, "batch_size": 5, "epochs": 2, name: 0}
    with pytest.raises(ValueError, match=f"{name} of at least 1; received 0"):
        TrainingLength(numbers.pop("samples"), **numbers)


def test_a_budget_of_no_images_is_refused():
    with pytest.raises(ValueError, match=r"at least one image; keep_at_images received \[0\]"):
        TrainingLength(12, batch_size=4, epochs=1, keep_at_images=[0])
