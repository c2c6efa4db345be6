"""Experiment tracking in MLflow: one run a training, nothing to set up, and no training that waits for it."""

from monai_ext.tracking.evaluation import log_evaluation
from monai_ext.tracking.mlflow import MLflowTracker
from monai_ext.tracking.run import TrackedRun, deliver

__all__ = ["MLflowTracker", "TrackedRun", "deliver", "log_evaluation"]
