"""Where cells are computed: in processes of this machine, or on a Ray cluster."""

from monai_ext.study.executors.job import Job, Outcome
from monai_ext.study.executors.local import LocalExecutor
from monai_ext.study.executors.ray import RayExecutor

__all__ = ["Job", "LocalExecutor", "Outcome", "RayExecutor"]
