"""Run the encoder once on every image, for handlers that write or measure its features."""

from __future__ import annotations

from torch import Tensor

from monai_ext.engines.image_evaluator import ImageEvaluator

__all__ = ["FeatureEvaluator"]


class FeatureEvaluator(ImageEvaluator):
    """Features of the images of a loader, in evaluation mode.

    ``state.output`` is ``{"features": ...}``, what the inferer gives, in float32 on the device.

    Args:
        device: on which the network is.
        network: whose features are wanted.
        data_loader: batches of images, ``(B, C, *spatial)``, ready for the network.
        inferer: ``inferer(images, network)`` gives features ``(B, F)``, as :class:`~monai_ext.inferers.EncoderInferer`.
        precision: of the forward pass, ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``.
        handlers: objects with ``attach(engine)``.
    """

    def infer(self, images: Tensor) -> dict[str, Tensor]:
        """Encode one batch."""
        return {"features": self.inferer(images, self.network).float()}
