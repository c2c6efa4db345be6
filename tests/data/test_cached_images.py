"""Items are prepared once, kept, and handed out as they are."""

import pytest
from monai.transforms import Lambda

from monai_ext.data import CachedImages


@pytest.mark.parametrize("num_workers", [0, 2])
def test_every_item_is_prepared_once_whatever_the_number_of_threads(num_workers):
    prepared = []

    def prepare(number):
        prepared.append(number)
        return {"image": number}

    images = CachedImages(range(3), transform=[Lambda(prepare)], num_workers=num_workers)
    assert [images[number]["image"] for number in (2, 0, 1, 2)] == [2, 0, 1, 2]
    assert sorted(prepared) == [0, 1, 2]
    assert images[1] is images[1]
