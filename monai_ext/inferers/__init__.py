"""How a method runs its network on a batch of images."""

from monai_ext.inferers.encoder_features import EncoderInferer
from monai_ext.inferers.masked_image import MaskedImageInferer
from monai_ext.inferers.multi_view import MultiViewInferer
from monai_ext.inferers.precision import PrecisionInferer

__all__ = ["EncoderInferer", "MaskedImageInferer", "MultiViewInferer", "PrecisionInferer"]
