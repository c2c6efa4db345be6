"""Networks: encoders, SparK, and reading and exchanging their weights."""

from monai_ext.networks.active_blocks import ActiveBlocks
from monai_ext.networks.decoder import SparKDecoder
from monai_ext.networks.encoder import build_encoder, encoder_stride, encoder_widths
from monai_ext.networks.masked_dense import MaskedDense, expand_mask
from monai_ext.networks.reconstruction import mask_image, paint_masked_patches, reconstruct
from monai_ext.networks.spark import SparK
from monai_ext.networks.synchronized_batch_norm import SynchronizedBatchNorm, synchronize_batch_norm

__all__ = [
    "ActiveBlocks",
    "MaskedDense",
    "SparK",
    "SparKDecoder",
    "SynchronizedBatchNorm",
    "build_encoder",
    "encoder_stride",
    "encoder_widths",
    "expand_mask",
    "mask_image",
    "paint_masked_patches",
    "reconstruct",
    "synchronize_batch_norm",
]
