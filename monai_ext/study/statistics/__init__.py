"""What results of a study mean: intervals over patients, paired comparisons, ranks, labels needed."""

from monai_ext.study.statistics.comparison import Comparison, compare, correct_comparisons
from monai_ext.study.statistics.corrected_test import CorrectedTest, corrected_resampled_test
from monai_ext.study.statistics.critical_difference import CriticalDifference, critical_difference
from monai_ext.study.statistics.false_claims import false_claim_probability, paired_outcomes
from monai_ext.study.statistics.holm import holm
from monai_ext.study.statistics.labels_to_target import LabelsToTarget, labels_to_target
from monai_ext.study.statistics.scored_cells import Arm, ScoredCell, resamples_for, score_cell

__all__ = [
    "Arm",
    "Comparison",
    "CorrectedTest",
    "CriticalDifference",
    "LabelsToTarget",
    "ScoredCell",
    "compare",
    "correct_comparisons",
    "corrected_resampled_test",
    "critical_difference",
    "false_claim_probability",
    "holm",
    "labels_to_target",
    "paired_outcomes",
    "resamples_for",
    "score_cell",
]
