"""Items are prepared once, kept, and handed out as they are."""

import pytest

from monai_ext.data import CachedImages
from monai_ext.errors import DatasetError


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_item_is_prepared_once_whatever_the_number_of_threads(num_workers):
    prepared = []

    def prepare(number):
        prepared.append(number)
        return {"image": number}

    images = CachedImages(range(3), transform=prepare, num_workers=num_workers)
    assert [images[number]["image"] for number in (2, 0, 1, 2)] == [2, 0, 1, 2]
    assert sorted(prepared) == [0, 1, 2]
    assert images[1] is images[1]


def test_transforms_follow_one_another():
    images = CachedImages([1, 2], transform=[lambda number: number + 1, lambda number: number * 10], num_workers=0)
    assert list(images) == [20, 30]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_item_that_cannot_be_read_is_told_as_it_is(num_workers):
    def read(number):
        raise DatasetError(f"The picture {number}.png cannot be read.")

    with pytest.raises(DatasetError, match=r"^The picture \d\.png cannot be read\.$"):
        CachedImages(range(3), transform=read, num_workers=num_workers)
