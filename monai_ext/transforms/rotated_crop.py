"""Random boxes, turned and mirrored, at one size: all of a view's geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.nn.functional import grid_sample

from monai_ext.transforms.batch_transform import BatchTransform, check_batch, check_probability
from monai_ext.transforms.crop_boxes import CropBoxes
from monai_ext.transforms.resample import resample_boxes

__all__ = ["RandRotatedCrop", "RotatedCrop"]


class RotatedCrop(NamedTuple):
    """What was drawn for a batch of B images, each (B, ...).

    ``boxes`` (B, 4) top, left, height, width in pixels; ``flip``, ``flip_vertical`` and ``transpose`` boolean, in this
    order; ``degrees`` of the free rotation after that, 0 for none, positive turns clockwise on the screen.
    """

    boxes: torch.Tensor
    flip: torch.Tensor
    flip_vertical: torch.Tensor
    transpose: torch.Tensor
    degrees: torch.Tensor


class RandRotatedCrop(BatchTransform[RotatedCrop]):
    """A random box of every image, resized to one size, mirrored, and turned.

    Cropping, mirroring and quarter turns are one antialiased resampling, see
    :func:`~monai_ext.transforms.resample.resample_boxes`. An image that is turned by a free angle is resampled with a
    margin as wide as the largest angle needs, and turned by bilinear interpolation at the view's own scale. So the
    corners of a turned view show what lies beside the box. Where that is beyond the image, the image's outermost
    pixels are continued (on CT mostly air): black corners would tell the network by how much a view was turned.

    Args:
        size: side of the views in pixels.
        scale: smallest and largest area of the box, as a fraction of the image's area, within (0, 1].
        ratio: smallest and largest width / height of the box.
        flips: probabilities of mirroring left and right, and of mirroring top and bottom.
        degrees: largest angle of the free rotation to either side, within [0, 180].
        probability: of a free rotation.
        quarter_turn_probability: of a turn by 90, 180 or 270 degrees, each equally likely.

    Raises:
        ValueError: a range or probability that makes no sense.

    Example:
        >>> views = RandRotatedCrop(32, scale=[0.2, 1.0], degrees=15)
        >>> views(torch.rand(4, 1, 40, 40)).shape
        torch.Size([4, 1, 32, 32])
    """

    def __init__(
        self,
        size: int,
        *,
        scale: Sequence[float] = (0.2, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        flips: Sequence[float] = (0.5, 0.5),
        degrees: float = 180.0,
        probability: float = 0.5,
        quarter_turn_probability: float = 0.0,
    ) -> None:
        if size < 1:
            raise ValueError(f"A view needs a size of at least 1 pixel, but size={size} was given.")
        if not 0 <= degrees <= 180:
            raise ValueError(f"degrees is the largest angle to either side, within [0, 180], but {degrees} was given.")
        if len(flips) != 2:
            raise ValueError(
                f"flips is a pair of probabilities, of mirroring left-right and top-bottom, but {list(flips)} was"
                " given."
            )
        self.size = size
        self.boxes = CropBoxes(scale, ratio)
        self.flips = tuple(check_probability("flips", flip) for flip in flips)
        self.degrees = float(degrees)
        self.probability = check_probability("probability", probability)
        self.quarter_turn_probability = check_probability("quarter_turn_probability", quarter_turn_probability)

    def randomize(self, images: torch.Tensor, *, generator: torch.Generator | None = None) -> RotatedCrop:
        """Draw the parameters for ``images`` (B, C, H, W), on the CPU; always as many numbers an image."""
        batch, _, height, width = check_batch(images, size=self.size)
        draws = torch.rand(batch, CropBoxes.DRAWS + 6, generator=generator, dtype=torch.float64)
        mirrored, mirrored_vertically, turned, turn, rotated, angle = draws[:, CropBoxes.DRAWS :].unbind(1)
        quarters = torch.where(turned < self.quarter_turn_probability, 1 + (3 * turn).long(), 0)
        return RotatedCrop(
            boxes=self.boxes.place(draws[:, : CropBoxes.DRAWS], height=height, width=width),
            # Counter-clockwise by 90 degrees: mirror left-right, then transpose; by 180: mirror both ways.
            flip=(mirrored < self.flips[0]) ^ ((quarters == 1) | (quarters == 2)),
            flip_vertical=(mirrored_vertically < self.flips[1]) ^ (quarters >= 2),
            transpose=quarters % 2 == 1,
            degrees=torch.where(rotated < self.probability, self.degrees * (2 * angle - 1), 0.0),
        )

    def apply(self, images: torch.Tensor, parameters: RotatedCrop) -> torch.Tensor:
        """Make the views that ``parameters`` describe of ``images``: (B, C, H, W) -> (B, C, size, size), in [0, 1]."""
        check_batch(images, size=self.size)
        turned = parameters.degrees != 0
        if not turned.any():
            return self._cut(images, parameters, margin=0).clamp_(0.0, 1.0)  # weights sum to one up to rounding
        views = images.new_empty(*images.shape[:2], self.size, self.size)
        for indices, margin in ((~turned).nonzero()[:, 0], 0), (turned.nonzero()[:, 0], self._margin()):
            if len(indices):
                places = indices.to(images.device)
                chosen = RotatedCrop(*(values[indices] for values in parameters))
                views[places] = self._turn(self._cut(images[places], chosen, margin=margin), chosen.degrees)
        return views.clamp_(0.0, 1.0)

    def _margin(self) -> int:
        """Pixels beside the view that its corners need when it is turned by up to ``degrees``."""
        widest = math.radians(min(self.degrees, 45.0))
        return math.ceil(self.size / 2 * (math.cos(widest) + math.sin(widest) - 1))

    def _cut(self, images: torch.Tensor, parameters: RotatedCrop, *, margin: int) -> torch.Tensor:
        """The boxes with a margin of so many of the view's pixels, not turned yet: (B, C, size + 2 margin, ...)."""
        corner, extent = parameters.boxes[:, :2], parameters.boxes[:, 2:]
        beside = extent * (margin / self.size)
        return resample_boxes(
            images,
            torch.cat([corner - beside, extent + 2 * beside], dim=1),
            size=self.size + 2 * margin,
            flip=parameters.flip,
            flip_vertical=parameters.flip_vertical,
            transpose=parameters.transpose,
        )

    def _turn(self, images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
        """The middle (B, C, size, size) of images, turned clockwise; element by element, see ``filter_rows``."""
        side = images.shape[-1]
        if side == self.size:
            return images
        angles = torch.deg2rad(degrees)
        cosine, sine = (
            values.to(images.device, torch.float32)[:, None, None] for values in (angles.cos(), angles.sin())
        )
        axis = (torch.arange(self.size, device=images.device) - (self.size - 1) / 2) * (2 / side)
        row, column = axis[:, None], axis[None, :]
        grid = torch.empty(len(images), self.size, self.size, 2, device=images.device)
        torch.add(cosine * column, sine * row, out=grid[..., 0])
        torch.sub(cosine * row, sine * column, out=grid[..., 1])
        turned = grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return turned.to(images.dtype)
