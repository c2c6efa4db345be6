"""One random view of every image of a batch: all steps of contrastive augmentation on one page."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch.nn.functional import one_hot

from monai_ext.transforms.batch_transform import BatchTransform
from monai_ext.transforms.cutout import RandCutout
from monai_ext.transforms.gaussian_blur import RandGaussianBlur
from monai_ext.transforms.intensity_jitter import RandIntensityJitter
from monai_ext.transforms.random_window import RandWindow
from monai_ext.transforms.rotated_crop import RandRotatedCrop
from monai_ext.transforms.solarize import RandSolarize
from monai_ext.transforms.white_noise import RandWhiteNoise

__all__ = ["RandomView"]

Options = Mapping[str, Any]


class RandomView(BatchTransform[tuple[Any, ...]]):
    """Crop, mirror, turn, then window, jitter, blur, solarise, noise and cutout, each by an amount of its own.

    The defaults are the study's (Wolf et al., Sci Rep 2023) for BYOL and MoCo v2: crops of a fifth of the image or
    more, rotation to any angle, jitter, blur, mirroring and noise. Each step is a transform of this shelf; its options
    are given as a JSON object, ``{}`` for its defaults, and ``null`` leaves it out.

    Args:
        size: side of the views in pixels.
        scale: smallest and largest area of the crop, as a fraction of the image's.
        ratio: smallest and largest width / height of the crop.
        flips: probabilities of mirroring left and right, and of mirroring top and bottom.
        rotation: ``degrees``, ``probability`` and ``quarter_turn_probability`` of
            :class:`~monai_ext.transforms.RandRotatedCrop`.
        window: options of :class:`~monai_ext.transforms.RandWindow`; left out by default.
        intensity: options of :class:`~monai_ext.transforms.RandIntensityJitter`.
        blur: options of :class:`~monai_ext.transforms.RandGaussianBlur`.
        solarize: options of :class:`~monai_ext.transforms.RandSolarize`; left out by default.
        noise: options of :class:`~monai_ext.transforms.RandWhiteNoise`.
        cutout: options of :class:`~monai_ext.transforms.RandCutout`; left out by default.

    Raises:
        ValueError: an option that a step does not have, or a value that makes no sense.

    Example:
        >>> view = RandomView(32, scale=[0.1, 0.33], blur={"sigma": [0.1, 1.0]}, noise=None)
        >>> view(torch.rand(4, 1, 40, 40)).shape
        torch.Size([4, 1, 32, 32])
    """

    def __init__(
        self,
        size: int,
        *,
        scale: Sequence[float] = (0.2, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flips: Sequence[float] = (0.5, 0.5),
        rotation: Options | None = {},  # noqa: B006 (never changed)
        window: Options | None = None,
        intensity: Options | None = {},  # noqa: B006
        blur: Options | None = {},  # noqa: B006
        noise: Options | None = {},  # noqa: B006
        cutout: Options | None = None,
        solarize: Options | None = None,
    ) -> None:
        self.size = size
        turning = {"degrees": 0.0} if rotation is None else _checked("rotation", rotation, RandRotatedCrop, ROTATION)
        self.steps: list[BatchTransform[Any]] = [
            RandRotatedCrop(size, scale=scale, ratio=ratio, flips=flips, **turning)
        ]
        for name, options, transform in (
            ("window", window, RandWindow),
            ("intensity", intensity, RandIntensityJitter),
            ("blur", blur, RandGaussianBlur),
            ("solarize", solarize, RandSolarize),
            ("noise", noise, RandWhiteNoise),
            ("cutout", cutout, RandCutout),
        ):
            if options is not None:
                self.steps.append(transform(**_checked(name, options, transform)))

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> tuple[Any, ...]:
        """Draw the parameters of all steps; those after the crop see its size."""
        views = images.new_empty(()).expand(*images.shape[:2], self.size, self.size)
        first, *others = self.steps
        return (
            first.randomize(images, generator=generator),
            *(step.randomize(views, generator=generator) for step in others),
        )

    def apply(self, images: torch.Tensor, parameters: tuple[Any, ...]) -> torch.Tensor:
        """Make the views: (B, C, H, W) in [0, 1] -> (B, C, size, size) in [0, 1]."""
        for step, drawn in zip(self.steps, parameters, strict=True):
            images = step.apply(images, drawn)
        return images

    def apply_to_labels(self, labels: torch.Tensor, parameters: tuple[Any, ...]) -> torch.Tensor:
        """Move label maps as the images: (B, 1, H, W), whole numbers -> (B, 1, size, size).

        Each pixel of the result has the class of which most lies under it. What beside an image continues its outermost
        pixels continues its labels.
        """
        classes = int(labels.max()) + 1
        shares = one_hot(labels[:, 0].long(), classes).movedim(-1, 1).float()
        return self.steps[0].apply(shares, parameters[0]).argmax(dim=1, keepdim=True).to(labels.dtype)


ROTATION = ("degrees", "probability", "quarter_turn_probability")


def _checked(
    step: str, options: Options, transform: type[BatchTransform[Any]], accepted: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the options of a step if its transform has them.

    Raises:
        ValueError: it has not; the nearest one is suggested.
    """
    names = list(accepted or inspect.signature(transform).parameters)
    for name in options:
        if name not in names:
            nearest = get_close_matches(name, names, n=1)
            hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
            raise ValueError(f"There is no option {name!r} of {step!r}; the options are {', '.join(names)}.{hint}")
    return dict(options)
