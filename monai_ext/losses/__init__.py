"""Losses of self-supervised pre-training: pure functions of tensors that return one scalar."""

from monai_ext.losses.class_weights import class_weights
from monai_ext.losses.info_nce import InfoNCELoss
from monai_ext.losses.masked_reconstruction import MaskedReconstructionLoss
from monai_ext.losses.negative_cosine import NegativeCosineSimilarity
from monai_ext.losses.swapped_assignment import SwappedAssignmentLoss
from monai_ext.losses.weighted_cross_entropy import WeightedCrossEntropy

__all__ = [
    "InfoNCELoss",
    "MaskedReconstructionLoss",
    "NegativeCosineSimilarity",
    "SwappedAssignmentLoss",
    "WeightedCrossEntropy",
    "class_weights",
]
