"""Global random streams: kept, put back, left alone."""

from __future__ import annotations

import logging
import random

import numpy as np
import pytest
import torch

from monai_ext.engines import RandomStreams, preserved_random_streams


def draw() -> list[float]:
    return [random.random(), np.random.rand(), np.random.randn(), torch.rand(()).item()]  # noqa: NPY002


def test_streams_go_on_where_they_were_saved(tmp_path):
    draw()  # a cached Gaussian is part of NumPy's state
    torch.save(RandomStreams().state_dict(), tmp_path / "streams.pt")
    drawn = draw()
    draw()
    RandomStreams().load_state_dict(torch.load(tmp_path / "streams.pt", weights_only=True))
    assert draw() == drawn


def test_what_is_drawn_inside_the_context_is_not_noticed_outside():
    before = RandomStreams().state_dict()
    expected = draw()
    RandomStreams().load_state_dict(before)
    with preserved_random_streams():
        torch.manual_seed(3)
        draw()
    assert draw() == expected


def test_streams_are_put_back_after_an_error_too():
    before = torch.get_rng_state()

    @preserved_random_streams()
    def interrupted() -> None:
        torch.rand(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_of_another_number_of_processes_are_left_and_that_is_said(caplog):
    state = RandomStreams().state_dict()
    state["ranks"] *= 2
    before = torch.get_rng_state()
    with caplog.at_level(logging.WARNING):
        RandomStreams().load_state_dict(state)
    assert "of 2 processes cannot be continued by 1" in caplog.text
    assert torch.equal(torch.get_rng_state(), before)
