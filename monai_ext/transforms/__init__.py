"""Windowing of Hounsfield units, and random views that are made on the training device."""

from monai_ext.transforms.batch_transform import BatchTransform
from monai_ext.transforms.byol_views import byol_views
from monai_ext.transforms.cutout import Cutout, RandCutout
from monai_ext.transforms.gaussian_blur import GaussianBlur, RandGaussianBlur
from monai_ext.transforms.intensity_jitter import IntensityJitter, RandIntensityJitter
from monai_ext.transforms.multi_view import MultiView
from monai_ext.transforms.random_view import RandomView
from monai_ext.transforms.random_window import RandomWindow, RandWindow
from monai_ext.transforms.rotated_crop import RandRotatedCrop, RotatedCrop
from monai_ext.transforms.solarize import RandSolarize, Solarization
from monai_ext.transforms.upright_view import UprightView
from monai_ext.transforms.views import CropFlip, RandResizedCropFlip
from monai_ext.transforms.volume_crop import RandVolumeCropFlip, VolumeCrop
from monai_ext.transforms.white_noise import RandWhiteNoise, WhiteNoise
from monai_ext.transforms.window import WINDOWS, HounsfieldWindow, Window, find_window, window_bounds

__all__ = [
    "WINDOWS",
    "BatchTransform",
    "CropFlip",
    "Cutout",
    "GaussianBlur",
    "HounsfieldWindow",
    "IntensityJitter",
    "MultiView",
    "RandCutout",
    "RandGaussianBlur",
    "RandIntensityJitter",
    "RandResizedCropFlip",
    "RandRotatedCrop",
    "RandSolarize",
    "RandVolumeCropFlip",
    "RandWhiteNoise",
    "RandWindow",
    "RandomView",
    "RandomWindow",
    "RotatedCrop",
    "Solarization",
    "UprightView",
    "VolumeCrop",
    "WhiteNoise",
    "Window",
    "byol_views",
    "find_window",
    "window_bounds",
]
