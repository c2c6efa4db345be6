"""The two views of BYOL's paper, which are not of one kind."""

from __future__ import annotations

from typing import Any

from monai_ext.transforms.multi_view import MultiView
from monai_ext.transforms.random_view import RandomView

__all__ = ["byol_views"]


def byol_views(size: int, **options: Any) -> MultiView:
    """Views as in Grill et al., NeurIPS 2020, appendix B, as far as gray images have them (no hue, no saturation).

    Both: crops of 8 % of the image or more, mirrored left and right, brightness shifted by an offset, contrast by a
    factor, four times out of five. The first is always blurred, the second one time out of ten and solarised one time
    out of five. Brightness and solarisation make gray levels that do not exist where these are physical, as on CT, so
    the study's views, the defaults of :class:`~monai_ext.transforms.RandomView`, have neither.

    Args:
        size: side of the views in pixels.
        options: of :class:`~monai_ext.transforms.RandomView`, in both views, in place of what is said above; ``blur``
            and ``solarize`` are then those of both.

    Raises:
        ValueError: an option that a view does not have, or a value that makes no sense.

    Example:
        >>> import torch
        >>> views = byol_views(32, window={"around": "lung"})
        >>> [tuple(view.shape) for view in views(torch.rand(4, 1, 40, 40))]
        [(4, 1, 32, 32), (4, 1, 32, 32)]
    """
    common: dict[str, Any] = {
        "scale": [0.08, 1.0],
        "flips": [0.5, 0.0],
        "rotation": None,
        "intensity": {"brightness": 0.0, "brightness_offset": 0.4, "contrast": 0.4, "probability": 0.8},
        "noise": None,
    }
    first = {"blur": {"probability": 1.0}}
    second = {"blur": {"probability": 0.1}, "solarize": {"probability": 0.2}}
    views = {
        kind: RandomView(size, **{**common, **own, **options}) for kind, own in (("first", first), ("second", second))
    }
    return MultiView(views, counts={"first": 1, "second": 1})
