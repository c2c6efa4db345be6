"""Optimisers, parameter groups and schedules of pre-training."""

from monai_ext.optimizers.fine_tuning import FineTuningSchedule, fine_tuning_groups
from monai_ext.optimizers.lamb import LAMB
from monai_ext.optimizers.parameter_groups import parameter_groups
from monai_ext.optimizers.schedules import WarmupCosine, scale_learning_rate

__all__ = [
    "LAMB",
    "FineTuningSchedule",
    "WarmupCosine",
    "fine_tuning_groups",
    "parameter_groups",
    "scale_learning_rate",
]
