"""Experiment tracking in MLflow: one run a training, nothing to set up, and no training that waits for it."""

from monai_ext.tracking.run import TrackedRun, deliver
from monai_ext.tracking.tracker import MLflowTracker

__all__ = ["MLflowTracker", "TrackedRun", "deliver"]
