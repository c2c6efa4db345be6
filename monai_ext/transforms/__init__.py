"""Windowing of Hounsfield units, and random views that are made on the training device."""

from monai_ext.transforms.views import CropFlip, RandResizedCropFlip
from monai_ext.transforms.window import WINDOWS, HounsfieldWindow, Window, find_window

__all__ = ["WINDOWS", "CropFlip", "HounsfieldWindow", "RandResizedCropFlip", "Window", "find_window"]
