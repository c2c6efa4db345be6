"""Numbers of an image that know nothing of anatomy."""

from __future__ import annotations

import numpy as np
import pytest

from monai_ext.checks.gray_statistics import GRAY_STATISTICS, IMAGE_SIZE, gray_statistics, image_size


def test_statistics_are_those_worked_out_by_hand() -> None:
    image = np.linspace(0, 1, 101).reshape(1, 101)
    statistics = dict(zip(GRAY_STATISTICS, gray_statistics(image), strict=True))
    assert statistics["mean"] == pytest.approx(0.5)
    assert statistics["deviation"] == pytest.approx(np.sqrt((101**2 - 1) / 12) / 100)
    assert [statistics[f"percentile_{p}"] for p in (5, 25, 50, 75, 95)] == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95])
    assert statistics["black"] == statistics["white"] == pytest.approx(4 / 101)


def test_size_is_rows_columns_and_their_ratio() -> None:
    assert len(IMAGE_SIZE) == 3
    assert np.exp(image_size(np.zeros((1, 30, 20)))) == pytest.approx([30, 20, 1.5])
