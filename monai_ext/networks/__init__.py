"""Networks: encoders, the pre-training methods and their parts, and reading and exchanging weights."""

from monai_ext.networks.batch_norm import (
    SplitBatchNorm,
    SynchronizedBatchNorm,
    split_batch_norm,
    synchronize_batch_norm,
)
from monai_ext.networks.byol import BYOL
from monai_ext.networks.encoder import build_encoder, encoder_stride, encoder_widths, feature_width
from monai_ext.networks.ensemble import ProbabilityEnsemble
from monai_ext.networks.feature_network import FeatureNetwork
from monai_ext.networks.heads import PredictionHead, ProjectionHead
from monai_ext.networks.moco import MoCo
from monai_ext.networks.momentum import MomentumEncoder
from monai_ext.networks.momentum_queue import MomentumQueue, fitting_queue, fitting_queue_size
from monai_ext.networks.pretrained import StartingPoint, start_from
from monai_ext.networks.prototypes import Prototypes
from monai_ext.networks.segmenter import build_segmenter, residual_unet
from monai_ext.networks.simsiam import SimSiam
from monai_ext.networks.sinkhorn import sinkhorn_assignments
from monai_ext.networks.spark.active_blocks import ActiveBlocks
from monai_ext.networks.spark.decoder import SparKDecoder
from monai_ext.networks.spark.masked_dense import MaskedDense, expand_mask
from monai_ext.networks.spark.minkowski import MinkowskiFeatures
from monai_ext.networks.spark.reconstruction import paint_masked_patches, reconstruct
from monai_ext.networks.spark.spark import SparK
from monai_ext.networks.swav import SwAV

__all__ = [
    "BYOL",
    "ActiveBlocks",
    "FeatureNetwork",
    "MaskedDense",
    "MinkowskiFeatures",
    "MoCo",
    "MomentumEncoder",
    "MomentumQueue",
    "PredictionHead",
    "ProbabilityEnsemble",
    "ProjectionHead",
    "Prototypes",
    "SimSiam",
    "SparK",
    "SparKDecoder",
    "SplitBatchNorm",
    "StartingPoint",
    "SwAV",
    "SynchronizedBatchNorm",
    "build_encoder",
    "build_segmenter",
    "encoder_stride",
    "encoder_widths",
    "expand_mask",
    "feature_width",
    "fitting_queue",
    "fitting_queue_size",
    "paint_masked_patches",
    "reconstruct",
    "residual_unet",
    "sinkhorn_assignments",
    "split_batch_norm",
    "start_from",
    "synchronize_batch_norm",
]
