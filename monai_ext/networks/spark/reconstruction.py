"""Turn a prediction into a picture: undo the per-patch normalisation and put the visible patches back."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_ext.networks.spark.masked_dense import expand_mask
from monai_ext.networks.spark.spark import SparK

__all__ = ["paint_masked_patches", "reconstruct"]


def reconstruct(model: SparK, image: Tensor, visible: Tensor) -> Tensor:
    """Let the model paint the masked patches of an image.

    SparK predicts each patch in units of that patch's own mean and standard deviation, so the picture borrows these two
    numbers from the hidden target (Tian et al., 2023, figure 4; He et al., 2022, figure 2): it shows what structure the
    model predicts, not how well it knows the brightness of a patch.

    Args:
        model: is used in evaluation mode and left in the mode it was in.
        image: ``(B, C, *spatial)``.
        visible: the mask ``(B, 1, *grid)``, True = the encoder sees it (:meth:`SparK.draw_visible`).

    Returns:
        ``(B, C, *spatial)`` in the image's units: visible patches as they are, masked patches painted.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            prediction = model(image, visible)
    finally:
        model.train(was_training)
    return paint_masked_patches(prediction.to(image.dtype), image, visible)


def paint_masked_patches(prediction: Tensor, image: Tensor, visible: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Scale each patch of a prediction to the mean and deviation of the patch of ``image``; keep visible patches.

    Args:
        prediction: ``(B, C, *spatial)``, in units of normalised patches.
        image: ``(B, C, *spatial)``.
        visible: ``(B, 1, *grid)``, True = the encoder saw it.
        eps: the one of :class:`monai_ext.losses.MaskedReconstructionLoss`.

    Returns:
        ``(B, C, *spatial)`` in the image's units.
    """
    patch = image.shape[2] // visible.shape[2]
    split = image
    for dim in range(image.ndim - 2):
        split = split.unflatten(2 + 2 * dim, (-1, patch))
    inside = (1, *range(3, split.ndim, 2))  # a patch is normalised over its pixels and channels
    variance, mean = torch.var_mean(split, dim=inside, keepdim=True)
    painted = (prediction.reshape(split.shape) * (variance + eps).sqrt() + mean).reshape(image.shape)
    return torch.where(expand_mask(visible, image.shape[2:]), image, painted)
