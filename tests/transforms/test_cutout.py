"""Cutout."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import Cutout, RandCutout


def test_the_rectangle_gets_the_value_and_nothing_else_changes() -> None:
    image = torch.rand(1, 2, 6, 8) * 0.5
    painted = RandCutout(fill=0.75).apply(image, Cutout(torch.tensor([True]), torch.tensor([[1.0, 2.0, 3.0, 5.0]])))
    expected = image.clone()
    expected[:, :, 1:4, 2:7] = 0.75
    assert torch.equal(painted, expected)


def test_the_painted_area_lies_within_its_range() -> None:
    painted = RandCutout(area=[0.1, 0.3], fill=1.0, probability=1.0)(torch.zeros(200, 1, 64, 64))
    area = painted.mean(dim=(1, 2, 3))
    assert 0.08 < area.min() < 0.13
    assert 0.27 < area.max() < 0.32


@pytest.mark.parametrize(
    ("options", "match"),
    [({"fill": 2.0}, "fill is a value"), ({"area": [0.1, 1.4]}, r"area=\[0.1, 1.4\]"), ({"ratio": [1]}, "ratio is")],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        RandCutout(**options)  # type: ignore[arg-type]
