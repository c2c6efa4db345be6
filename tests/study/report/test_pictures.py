"""Pictures of the report: what can be read of them."""

from __future__ import annotations

from monai_ext.study.report.pictures import _labels_apart


def test_texts_of_ticks_that_are_too_near_are_left_out_but_never_the_last() -> None:
    assert _labels_apart([10, 20, 22, 43, 50, 100, 108]) == ["10", "", "22", "43", "50", "", "108"]
    assert _labels_apart([3.2]) == ["3"]
