"""Read weights that others trained, and say exactly what was read."""

from monai_ext.networks.weights.encoder import EncoderLoadReport, load_encoder
from monai_ext.networks.weights.files import read_weights
from monai_ext.networks.weights.open_encoder import open_encoder
from monai_ext.networks.weights.spark_checkpoint import SparKLoadReport, load_spark_checkpoint

__all__ = [
    "EncoderLoadReport",
    "SparKLoadReport",
    "load_encoder",
    "load_spark_checkpoint",
    "open_encoder",
    "read_weights",
]
