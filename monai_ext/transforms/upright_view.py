"""A random view that leaves directions and pixels' noise as they are."""

from __future__ import annotations

from collections.abc import Sequence

from monai_ext.transforms.random_view import Options, RandomView

__all__ = ["UprightView"]


class UprightView(RandomView):
    """:class:`~monai_ext.transforms.RandomView` without rotation, mirroring and noise: crop, jitter and blur.

    These are SwAV's views in the study (Wolf et al. 2023), whose crops of several sizes are variety enough. Each of the
    steps can be given all the same.

    Args:
        size: side of the views in pixels; this and the other options are those of ``RandomView``.

    Example:
        >>> import torch
        >>> UprightView(32, scale=[0.1, 0.33])(torch.rand(4, 1, 40, 40)).shape
        torch.Size([4, 1, 32, 32])
    """

    def __init__(
        self,
        size: int,
        *,
        scale: Sequence[float] = (0.2, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flips: Sequence[float] = (0.0, 0.0),
        rotation: Options | None = None,
        window: Options | None = None,
        intensity: Options | None = {},  # noqa: B006 (never changed)
        blur: Options | None = {},  # noqa: B006
        noise: Options | None = None,
        cutout: Options | None = None,
        solarize: Options | None = None,
    ) -> None:
        super().__init__(
            size,
            scale=scale,
            ratio=ratio,
            flips=flips,
            rotation=rotation,
            window=window,
            intensity=intensity,
            blur=blur,
            noise=noise,
            cutout=cutout,
            solarize=solarize,
        )
