"""What MONAI, Ignite and scikit-learn lack to judge networks: pre-trained ones, and classifiers."""

from monai_ext.metrics.alignment import alignment, uniformity
from monai_ext.metrics.classification import ClassificationEvaluation, Estimate, evaluate_classification
from monai_ext.metrics.classification_plots import (
    write_confusion_matrix,
    write_precision_recall,
    write_reliability,
    write_roc,
)
from monai_ext.metrics.effective_rank import effective_rank
from monai_ext.metrics.feature_std import feature_std
from monai_ext.metrics.inpainting import linear_inpainting, visible_mean
from monai_ext.metrics.nearest_neighbours import knn_predictions
from monai_ext.metrics.operating_point import choose_threshold
from monai_ext.metrics.patch_statistics import patch_statistics
from monai_ext.metrics.reconstruction_error import ReconstructionError
from monai_ext.metrics.segmentation import CaseScores, SegmentationEvaluation, evaluate_segmentation, score_case
from monai_ext.metrics.segmentation_plots import write_sizes

__all__ = [
    "CaseScores",
    "ClassificationEvaluation",
    "Estimate",
    "ReconstructionError",
    "SegmentationEvaluation",
    "alignment",
    "choose_threshold",
    "effective_rank",
    "evaluate_classification",
    "evaluate_segmentation",
    "feature_std",
    "knn_predictions",
    "linear_inpainting",
    "patch_statistics",
    "score_case",
    "uniformity",
    "visible_mean",
    "write_confusion_matrix",
    "write_precision_recall",
    "write_reliability",
    "write_roc",
    "write_sizes",
]
