"""The cells of a study: which there are, and the inputs that name each one."""

from monai_ext.study.cells.bundles import BundleConfig, find_bundle
from monai_ext.study.cells.cell import Cell, name_of
from monai_ext.study.cells.encoders import Encoder, find_encoders
from monai_ext.study.cells.expansion import expand_cells, pretraining_cells

__all__ = [
    "BundleConfig",
    "Cell",
    "Encoder",
    "expand_cells",
    "find_bundle",
    "find_encoders",
    "name_of",
    "pretraining_cells",
]
