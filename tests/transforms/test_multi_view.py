"""Several views of a batch."""

from __future__ import annotations

import pytest
import torch

from monai_ext.transforms import MultiView, RandomView

KINDS = {"global": RandomView(16, scale=[0.9, 1.0]), "local": RandomView(8, scale=[0.1, 0.33])}


def test_views_come_kind_by_kind_in_the_order_of_the_augmentations() -> None:
    views = MultiView(KINDS, counts={"local": 3, "global": 2})
    assert views.kinds == ["global", "global", "local", "local", "local"]
    assert [view.shape for view in views(torch.rand(4, 1, 20, 20))] == [(4, 1, 16, 16)] * 2 + [(4, 1, 8, 8)] * 3


def test_two_views_of_every_kind_are_made_unless_told_otherwise() -> None:
    assert MultiView(KINDS).kinds == ["global", "global", "local", "local"]


def test_every_view_is_drawn_for_itself_from_one_generator() -> None:
    images, views = torch.rand(4, 1, 20, 20), MultiView(KINDS, counts={"global": 2, "local": 2})
    made = views(images, generator=torch.Generator().manual_seed(1))
    again = views(images, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(first, second) for first, second in zip(made, again, strict=True))
    assert not torch.equal(made[0], made[1])
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(made[0], KINDS["global"](images, generator=generator))
    assert torch.equal(made[1], KINDS["global"](images, generator=generator))
    assert torch.equal(made[2], KINDS["local"](images, generator=generator))


@pytest.mark.parametrize("counts", [{"global": 2}, {"global": 2, "local": 2, "tiny": 1}])
def test_every_kind_needs_an_augmentation_and_a_count(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"augmentations has \['global', 'local'\], counts has"):
        MultiView(KINDS, counts=counts)


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_counts_are_whole_numbers_from_one(count: object) -> None:
    with pytest.raises(ValueError, match=r"counts\['local'\] is a number of views"):
        MultiView(KINDS, counts={"global": 2, "local": count})  # type: ignore[dict-item]


def test_no_augmentation_is_refused() -> None:
    with pytest.raises(ValueError, match="augmentations has nothing"):
        MultiView({})


def test_crops_larger_than_the_images_are_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match="16 x 16 pixels cannot be cropped from images of 12 x 30"):
        MultiView(KINDS)(torch.zeros(2, 1, 12, 30))
