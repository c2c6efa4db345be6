"""How a method runs its network on a batch of images."""

from monai_ext.inferers.masked_image import MaskedImageInferer

__all__ = ["MaskedImageInferer"]
