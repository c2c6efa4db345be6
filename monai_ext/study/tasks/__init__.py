"""Labelled data of a study: divided once into folds and nested smaller training sets, the same for all methods."""

from monai_ext.study.tasks.division import divide, size_name
from monai_ext.study.tasks.leaks import shared_files
from monai_ext.study.tasks.prepared import PreparedTask, prepare_task

__all__ = ["PreparedTask", "divide", "prepare_task", "shared_files", "size_name"]
