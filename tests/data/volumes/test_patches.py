"""Where patches lie in a volume."""

from __future__ import annotations

import pytest

from monai_ext.data.volumes.patches import cube_starts


@pytest.mark.parametrize(
    ("side", "starts"),
    [(8, [0]), (9, [0, 1]), (12, [0, 4]), (13, [0, 2, 5]), (6, [-1]), (5, [-1])],
    ids=lambda value: str(value),
)
def test_patches_begin_and_end_with_the_volume_and_cover_it_evenly(side: int, starts: list[int]) -> None:
    assert [place[0] for place in cube_starts((side, 8, 8), size=8, step=4)] == starts


def test_patches_side_by_side_leave_nothing_out() -> None:
    places = cube_starts((30, 40, 50), size=16, step=16)
    for axis, side in enumerate((30, 40, 50)):
        covered = {voxel for place in places for voxel in range(place[axis], place[axis] + 16)}
        assert covered >= set(range(side))
