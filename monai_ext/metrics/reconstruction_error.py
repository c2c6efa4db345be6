"""How far a reconstruction of masked patches is from the truth, beside what knowing nothing would reach."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_ext.metrics.inpainting import linear_inpainting, visible_mean, visible_pixels
from monai_ext.metrics.patch_statistics import patch_statistics
from monai_ext.transforms.window import HounsfieldWindow, Window, find_window

__all__ = ["ReconstructionError"]

GRAY_LEVELS = 255
"""Pictures without Hounsfield units are told in gray levels of 8 bit."""


class ReconstructionError:
    """Error over masked patches of a network that predicts normalised patches, and of two trivial predictors.

    A network trained with :class:`~monai_ext.losses.MaskedReconstructionLoss` predicts a patch in units of its own mean
    and deviation. To show it in HU, both are taken from the true patch, as SparK's own visualisation does. That is an
    advantage over the trivial predictors, so these are told twice: with their own brightness and contrast, and with
    mean and deviation of the true patch, which compares like with like.

    The columns of a row are the mean over all masked pixels of

    - ``normalized_error``: the squared error in units of the true patch, which is the training loss; only for rows with
      the true patch's statistics. A predictor that knows nothing but the patch's mean is at 1;
    - ``<window>_error_hu``: the absolute error in HU as seen in a window, both sides clipped to it; for pictures
      ``gray_error``, in gray levels of 0 .. 255.

    Args:
        window: what made the images from Hounsfield units, as ``dataset.window``; None for pictures.
        windows: names of :data:`monai_ext.transforms.window.WINDOWS` in which errors are told.
        patch_size: side of a patch in pixels.
        eps: added to the variance of a patch, as in the loss.
        name: of the network's row.

    Example:
        >>> error = ReconstructionError(window=None, patch_size=2)
        >>> image = torch.tensor([[[[0.0, 0.2, 1.0, 1.0], [0.0, 0.2, 1.0, 1.0]]]])
        >>> error.update(torch.zeros_like(image), image, torch.tensor([[[[False, True]]]]))
        >>> [round(row["gray_error"]) for row in error.rows()]
        [26, 26, 26, 230, 230]
    """

    def __init__(
        self,
        *,
        window: HounsfieldWindow | None,
        windows: Sequence[str] = ("full", "lung", "mediastinum", "bone"),
        patch_size: int = 32,
        eps: float = 1e-6,
        name: str = "network",
    ) -> None:
        self.window = window
        self.windows = {choice: find_window(choice) for choice in windows}
        self.patch_size = patch_size
        self.eps = eps
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Forget what was seen."""
        self._sums: dict[tuple[str, str], dict[str, float]] = {}
        self._pixels = 0

    @torch.no_grad()
    def update(self, prediction: Tensor, image: Tensor, visible: Tensor) -> None:
        """Add a batch.

        Args:
            prediction: (B, C, *spatial) in units of each true patch's mean and deviation.
            image: the truth, (B, C, *spatial) in [0, 1].
            visible: (B, 1, *grid) boolean, True where the network saw the patch; the others count.
        """
        image, prediction = image.float(), prediction.float()
        masked = ~visible_pixels(visible, image.shape[2:])
        mean, deviation = patch_statistics(image, self.patch_size, eps=self.eps)
        true_units = (image - mean) / deviation
        self._pixels += int(masked.sum())
        self._add((self.name, "true patch"), prediction, prediction * deviation + mean, true_units, image, masked)
        for predictor in (visible_mean, linear_inpainting):
            painted = predictor(image, visible)
            own_mean, own_deviation = patch_statistics(painted, self.patch_size, eps=self.eps)
            units = (painted - own_mean) / own_deviation
            self._add((predictor.__name__, "own"), None, painted, true_units, image, masked)
            self._add((predictor.__name__, "true patch"), units, units * deviation + mean, true_units, image, masked)

    def rows(self) -> list[dict[str, str | float]]:
        """The table: one row for each predictor and choice of statistics.

        Raises:
            ValueError: nothing was added, or no patch was masked.
        """
        if not self._pixels:
            raise ValueError("There is no reconstruction error to tell: no image with masked patches was seen.")
        ordered = sorted(self._sums, key=lambda key: (key[0] != self.name, key[1] == "own"))
        return [
            {"predictor": predictor, "statistics": statistics}
            | {column: total / self._pixels for column, total in self._sums[predictor, statistics].items()}
            for predictor, statistics in ordered
        ]

    def _add(
        self,
        key: tuple[str, str],
        units: Tensor | None,
        painted: Tensor,
        true_units: Tensor,
        image: Tensor,
        masked: Tensor,
    ) -> None:
        """Add one predictor's errors, each averaged over the channels, at the masked pixels."""
        sums = self._sums.setdefault(key, {})
        errors = {} if units is None else {"normalized_error": (units - true_units).square().mean(dim=1, keepdim=True)}
        for column, error in (errors | self._absolute_errors(painted, image)).items():
            sums[column] = sums.get(column, 0.0) + float(error[masked].sum(dtype=torch.float64))

    def _absolute_errors(self, painted: Tensor, image: Tensor) -> dict[str, Tensor]:
        if self.window is None:
            return {"gray_error": GRAY_LEVELS * (painted.clamp(0, 1) - image).abs().mean(dim=1, keepdim=True)}
        painted_hu, image_hu = self._hounsfield(painted.clamp(0, 1)), self._hounsfield(image)
        return {
            f"{name}_error_hu": (_clip(painted_hu, window) - _clip(image_hu, window)).abs()
            for name, window in self.windows.items()
        }

    def _hounsfield(self, image: Tensor) -> Tensor:
        """HU, (B, 1, *spatial), of an image in [0, 1]; a window that was repeated over the channels is averaged."""
        window: HounsfieldWindow = self.window  # type: ignore[assignment]
        channels = image.mean(dim=1, keepdim=True) if len(window.windows) == 1 else image
        if channels.ndim == 5:  # a window's channels stand before the rows and columns of a slice
            return window.inverse(channels.movedim(1, 2)).movedim(2, 1)
        return window.inverse(channels)


def _clip(hounsfield: Tensor, window: Window) -> Tensor:
    return hounsfield.clamp(window.lower_hu, window.upper_hu)
