"""Hounsfield windows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.transforms import WINDOWS, HounsfieldWindow, Window, find_window


def _pixels(*hounsfield: float) -> torch.Tensor:
    return torch.tensor(hounsfield).reshape(1, 1, -1)


def test_the_bounds_of_a_window_become_black_and_white() -> None:
    windowed = HounsfieldWindow([40, 400])(_pixels(-500, -160, 40, 240, 900))
    assert windowed.flatten().tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize(
    ("name", "lower", "upper"),
    [
        ("lung", -1350, 150),
        ("mediastinum", -160, 240),
        ("abdomen", -150, 250),
        ("brain", 0, 80),
        ("subdural", -32.5, 182.5),
        ("bone", -500, 1300),
        ("full", -1024, 3071),
    ],
)
def test_presets_have_the_bounds_in_clinical_use(name: str, lower: float, upper: float) -> None:
    assert (WINDOWS[name].lower_hu, WINDOWS[name].upper_hu) == (lower, upper)


@pytest.mark.parametrize("name", WINDOWS)
@given(hounsfield=st.integers(-1024, 3071))
def test_a_window_is_undone_exactly_wherever_it_did_not_clip(name: str, hounsfield: int) -> None:
    transform, window = HounsfieldWindow(name), WINDOWS[name]
    restored = transform.inverse(transform(_pixels(hounsfield))).item()
    expected = min(max(hounsfield, window.lower_hu), window.upper_hu)
    assert restored == pytest.approx(expected, abs=2e-3)


@given(hounsfield=st.integers(-1024, 3071))
def test_several_windows_are_undone_by_the_one_that_did_not_clip(hounsfield: int) -> None:
    transform = HounsfieldWindow(["brain", "full", "lung"])
    assert transform.inverse(transform(_pixels(hounsfield))).item() == pytest.approx(hounsfield, abs=2e-3)


def test_several_windows_become_channels_in_the_given_order() -> None:
    windowed = HounsfieldWindow(["brain", [0, 2000]])(torch.full((5, 1, 2, 3), 40.0))
    assert windowed.shape == (5, 2, 2, 3)
    assert windowed[0, :, 0, 0].tolist() == pytest.approx([0.5, 0.52])


def test_whole_numbers_are_windowed_as_well_and_left_as_they_were() -> None:
    pixels = torch.tensor([[[-2000, 40]]], dtype=torch.int16)
    assert HounsfieldWindow("brain")(pixels).tolist() == [[[0.0, 0.5]]]
    assert pixels.tolist() == [[[-2000, 40]]]


def test_a_window_may_be_a_name_a_pair_or_itself() -> None:
    assert find_window("brain") == find_window([40, 80]) == find_window(Window(40, 80))


def test_an_unknown_window_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"'lnug'; the presets are lung.*Did you mean 'lung'"):
        HounsfieldWindow("lnug")


@pytest.mark.parametrize("window", [[40], [1, 2, 3], ["brain", [1]]])
def test_numbers_that_are_no_pair_are_refused(window: list[object]) -> None:
    with pytest.raises(ValueError, match="pair"):
        HounsfieldWindow(window)  # type: ignore[arg-type]


def test_a_window_without_width_is_refused() -> None:
    with pytest.raises(ValueError, match="positive width"):
        Window(40, 0)


def test_an_empty_list_of_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="At least one window"):
        HounsfieldWindow([])


def test_undoing_windows_needs_one_channel_each() -> None:
    with pytest.raises(ValueError, match="2 windows cannot be undone on a tensor with 3 channels"):
        HounsfieldWindow(["brain", "bone"]).inverse(torch.zeros(3, 4, 4))
