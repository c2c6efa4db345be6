"""What pre-trained encoders compute, layer by layer, on the same labelled images: measured, compared, on one page."""

from monai_ext.study.layers.encoders import OpenedEncoder, open_encoders
from monai_ext.study.layers.images import JudgedImages, open_judged_images
from monai_ext.study.layers.measuring import Budget, LayerMeasures, measure_layers
from monai_ext.study.layers.results import LayerResults, compare_layers
from monai_ext.study.layers.writing import write_explanation

__all__ = [
    "Budget",
    "JudgedImages",
    "LayerMeasures",
    "LayerResults",
    "OpenedEncoder",
    "compare_layers",
    "measure_layers",
    "open_encoders",
    "open_judged_images",
    "write_explanation",
]
