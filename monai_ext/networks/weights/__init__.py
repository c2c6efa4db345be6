"""Read weights that others trained, and say exactly what was read; write the weights of a bundle."""

from monai_ext.networks.weights.encoder import EncoderLoadReport, load_encoder
from monai_ext.networks.weights.files import read_weights
from monai_ext.networks.weights.model_file import read_model, read_model_metadata, split_model_file, write_model
from monai_ext.networks.weights.open_encoder import open_encoder
from monai_ext.networks.weights.spark_checkpoint import SparKLoadReport, load_spark_checkpoint

__all__ = [
    "EncoderLoadReport",
    "SparKLoadReport",
    "load_encoder",
    "load_spark_checkpoint",
    "open_encoder",
    "read_model",
    "read_model_metadata",
    "read_weights",
    "split_model_file",
    "write_model",
]
