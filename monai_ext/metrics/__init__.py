"""What MONAI, Ignite and scikit-learn lack to judge a pre-trained network."""

from monai_ext.metrics.inpainting import linear_inpainting, visible_mean
from monai_ext.metrics.patch_statistics import patch_statistics
from monai_ext.metrics.reconstruction_error import ReconstructionError

__all__ = ["ReconstructionError", "linear_inpainting", "patch_statistics", "visible_mean"]
