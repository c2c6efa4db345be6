"""Losses of self-supervised pre-training: pure functions of tensors that return one scalar."""

from monai_ext.losses.masked_reconstruction import MaskedReconstructionLoss

__all__ = ["MaskedReconstructionLoss"]
