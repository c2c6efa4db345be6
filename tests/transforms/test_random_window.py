"""Random windows."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import HounsfieldWindow, RandomWindow, RandWindow


def _drawn(*, shift: float = 0.0, width_factor: float = 1.0, around: int = 0) -> RandomWindow:
    return RandomWindow(
        chosen=torch.tensor([True]),
        around=torch.tensor([around]),
        shift=torch.tensor([shift], dtype=torch.float64),
        width_factor=torch.tensor([width_factor], dtype=torch.float64),
    )


def _slice() -> torch.Tensor:
    return torch.linspace(-1024, 3071, 400).reshape(1, 1, 20, 20)


def test_another_preset_is_what_windowing_the_hounsfield_units_gives() -> None:
    arrived = HounsfieldWindow("full")(_slice())
    shown = RandWindow("full", around=["bone", "lung"]).apply(arrived, _drawn(around=1))
    torch.testing.assert_close(shown, HounsfieldWindow("lung")(_slice()), rtol=0, atol=1e-5)


def test_centre_and_width_change_by_fractions_of_the_window() -> None:
    arrived = HounsfieldWindow("full")(_slice())
    shown = RandWindow("full", around=[40, 400]).apply(arrived, _drawn(shift=0.1, width_factor=1.5))
    torch.testing.assert_close(shown, HounsfieldWindow([80, 600])(_slice()), rtol=0, atol=1e-5)


def test_around_the_window_of_arrival_pictures_and_hounsfield_units_change_alike() -> None:
    arrived, drawn = torch.rand(1, 1, 8, 8), _drawn(shift=-0.1, width_factor=0.8)
    expected = ((arrived - 0.4) / 0.8 + 0.5).clamp(0, 1)  # centre 0.5 - 0.1, width 0.8
    torch.testing.assert_close(RandWindow(None).apply(arrived, drawn), expected)
    torch.testing.assert_close(RandWindow("lung").apply(arrived, drawn), expected)
    torch.testing.assert_close(RandWindow("lung", around="lung").apply(arrived, drawn), expected)


def test_channels_that_arrive_in_windows_of_their_own_are_shown_in_one() -> None:
    hounsfield = torch.linspace(-160, 80, 64).reshape(1, 1, 8, 8)
    arrives_in = HounsfieldWindow(["full", "mediastinum"])
    shown = RandWindow(arrives_in, around="brain").apply(arrives_in(hounsfield), _drawn())
    torch.testing.assert_close(shown[:, 0], shown[:, 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(shown[:, :1], HounsfieldWindow("brain")(hounsfield), rtol=0, atol=1e-5)


def test_draws_lie_within_their_ranges_and_use_every_window() -> None:
    window = RandWindow("full", around=["lung", "bone", "brain"], center_shift=0.2, width_factor=[0.5, 2.0])
    drawn = window.randomize(torch.zeros(3000, 1, 1, 1))
    assert torch.bincount(drawn.around).min() > 800
    assert -0.2 <= drawn.shift.min() < -0.19
    assert 0.19 < drawn.shift.max() <= 0.2
    assert 0.5 <= drawn.width_factor.min() < 0.51
    assert 1.98 < drawn.width_factor.max() <= 2.0
    assert drawn.width_factor.log().mean().item() == pytest.approx(0, abs=0.03)


def test_windows_in_hounsfield_units_are_refused_for_pictures() -> None:
    with pytest.raises(ValueError, match="Pictures have gray levels"):
        RandWindow(None, around="lung")


def test_as_many_windows_as_channels_are_needed() -> None:
    with pytest.raises(ValueError, match="3 channels cannot arrive in 2 windows"):
        RandWindow(["lung", "bone"], probability=1.0)(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"center_shift": -0.1}, "center_shift is a fraction"),
        ({"width_factor": [0, 1]}, "width_factor is a pair of positive numbers"),
        ({"around": "lnug"}, "Did you mean 'lung'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RandWindow("full", **options)  # type: ignore[arg-type]
