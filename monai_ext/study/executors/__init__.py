"""Where cells are computed: in processes of this machine."""

from monai_ext.study.executors.job import Job, Outcome
from monai_ext.study.executors.local import LocalExecutor

__all__ = ["Job", "LocalExecutor", "Outcome"]
