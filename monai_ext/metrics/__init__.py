"""What MONAI, Ignite and scikit-learn lack to judge a pre-trained network."""

from monai_ext.metrics.inpainting import linear_inpainting, visible_mean

__all__ = ["linear_inpainting", "visible_mean"]
