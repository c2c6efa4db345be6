"""The loss of masked image modelling: squared error of the patches that the encoder did not see."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MaskedReconstructionLoss"]


class MaskedReconstructionLoss(nn.Module):
    """Mean squared error over masked patches, each patch of the target normalised by its own mean and deviation.

    Normalising the target makes flat and textured patches count alike and improves the learnt features (He et al. 2022,
    "Masked Autoencoders Are Scalable Vision Learners", section 4.1); SparK uses it with the unbiased variance (Tian et
    al. 2023, "Designing BERT for Convolutional Networks", section 3.3). Only the masked patches are gathered, so that
    nothing of the visible part is stored for the backward pass.

    Shapes: ``(B, C, *spatial)`` with two or three spatial axes, each a multiple of the patch size ``p``; the mask is
    ``(B, 1, *spatial / p)``. The result is a scalar in float32 (float64 for float64 inputs), whatever the autocast.

    Args:
        patch_size: side of a patch in pixels, which is the total stride of the encoder.
        eps: added to the variance of a target patch. Flat CT background has nearly no variance: a larger value keeps
            its noise from being amplified to unit variance.
        normalize: False compares with the image itself, in its own units.

    Raises:
        ValueError: when ``patch_size`` or ``eps`` is out of range; in the call, when prediction and image differ in
            shape, when the mask is not boolean or does not have one value a patch, or when no patch is masked.

    Example:
        >>> image = torch.zeros(1, 1, 4, 4)
        >>> visible = torch.tensor([[[[True, False], [True, True]]]])
        >>> MaskedReconstructionLoss(patch_size=2)(image + 3, image, visible)
        tensor(9.)
    """

    def __init__(self, patch_size: int = 32, *, eps: float = 1e-6, normalize: bool = True) -> None:
        super().__init__()
        if patch_size < 1:
            raise ValueError(f"The patch size is a number of pixels, at least 1; received {patch_size}.")
        if eps < 0 or (normalize and eps == 0):
            raise ValueError(f"eps keeps flat patches from a division by zero and must be above 0; received {eps}.")
        self.patch_size = patch_size
        self.eps = eps
        self.normalize = normalize

    def forward(self, prediction: Tensor, image: Tensor, visible: Tensor) -> Tensor:
        """Loss of a prediction.

        Args:
            prediction: what the decoder painted, ``(B, C, *spatial)``; in the units of normalised patches.
            image: the complete input, ``(B, C, *spatial)``.
            visible: True where the encoder saw the patch, ``(B, 1, *spatial / p)``; the loss looks at the others.
        """
        self._check_shapes(prediction, image, visible)
        masked = ~visible[:, 0]
        with torch.autocast(image.device.type, enabled=False):
            painted = _patches(prediction, self.patch_size)[masked].flatten(1)
            target = _patches(image.detach(), self.patch_size)[masked].flatten(1)
            if len(painted) == 0:
                raise ValueError("The loss needs masked patches, but every patch is visible: raise masked_fraction.")
            painted, target = _at_least_float32(painted), _at_least_float32(target)
            if self.normalize:
                variance, mean = torch.var_mean(target, dim=1, correction=1, keepdim=True)
                target = (target - mean) / (variance + self.eps).sqrt()
            return F.mse_loss(painted, target)

    def extra_repr(self) -> str:
        return f"patch_size={self.patch_size}, eps={self.eps}, normalize={self.normalize}"

    def _check_shapes(self, prediction: Tensor, image: Tensor, visible: Tensor) -> None:
        if prediction.shape != image.shape:
            raise ValueError(
                f"Prediction and image must have one shape; received {_shape(prediction)} and {_shape(image)}."
            )
        if image.dim() not in (4, 5) or any(size % self.patch_size for size in image.shape[2:]):
            raise ValueError(
                "The image must be (B, C, H, W) or (B, C, D, H, W) with sizes divisible by the patch size "
                f"{self.patch_size}; received {_shape(image)}."
            )
        expected = (image.shape[0], 1, *(size // self.patch_size for size in image.shape[2:]))
        if visible.dtype != torch.bool or visible.shape != expected:
            raise ValueError(
                f"The mask must be boolean, one value a patch: {expected} for images {_shape(image)} and patches of "
                f"{self.patch_size} pixels; received {visible.dtype} {_shape(visible)}."
            )


def _patches(image: Tensor, patch_size: int) -> Tensor:
    """View ``(B, C, *spatial)`` as ``(B, *patches, C, *inside)``."""
    batch, channels, *spatial = image.shape
    split = [part for size in spatial for part in (size // patch_size, patch_size)]
    patches = [2 + 2 * axis for axis in range(len(spatial))]
    inside = [axis + 1 for axis in patches]
    return image.reshape(batch, channels, *split).permute(0, *patches, 1, *inside)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
