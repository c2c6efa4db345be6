"""What happens at a certain time of a pre-training: saving, validating, stopping, reporting. One handler a file.

Several handlers of one event act in the order of the list: validation and the guard come before the checkpoints, and
the checkpoints, which resume, before tracking and progress.
"""

from monai_ext.handlers.best_model import BestModel, BestModelResults
from monai_ext.handlers.checkpoint_files import find_checkpoint
from monai_ext.handlers.classification_results import ClassificationResults
from monai_ext.handlers.encoder_exporter import EncoderExporter
from monai_ext.handlers.encoder_features import EncoderFeatures
from monai_ext.handlers.encoder_freezer import EncoderFreezer
from monai_ext.handlers.evaluation_summary import EvaluationSummary
from monai_ext.handlers.feature_monitor import FeatureMonitor
from monai_ext.handlers.graceful_termination import GracefulTermination
from monai_ext.handlers.knn_monitor import KNNMonitor
from monai_ext.handlers.model_publisher import ModelPublisher
from monai_ext.handlers.momentum_updater import MomentumUpdater
from monai_ext.handlers.non_finite_loss_guard import NonFiniteLossGuard
from monai_ext.handlers.precise_batch_norm import PreciseBatchNorm
from monai_ext.handlers.progress_reporter import ProgressReporter
from monai_ext.handlers.prototype_freezer import PrototypeFreezer
from monai_ext.handlers.queue_starter import QueueStarter
from monai_ext.handlers.reconstruction_images import ReconstructionImages
from monai_ext.handlers.reconstruction_table import ReconstructionTable
from monai_ext.handlers.reconstruction_writer import ReconstructionWriter
from monai_ext.handlers.segmentation_results import SegmentationResults
from monai_ext.handlers.training_bookkeeping import TrainingBookkeeping
from monai_ext.handlers.training_checkpoint import TrainingCheckpoint
from monai_ext.handlers.validation_runner import ValidationRunner
from monai_ext.handlers.view_images import ViewImages

__all__ = [
    "BestModel",
    "BestModelResults",
    "ClassificationResults",
    "EncoderExporter",
    "EncoderFeatures",
    "EncoderFreezer",
    "EvaluationSummary",
    "FeatureMonitor",
    "GracefulTermination",
    "KNNMonitor",
    "ModelPublisher",
    "MomentumUpdater",
    "NonFiniteLossGuard",
    "PreciseBatchNorm",
    "ProgressReporter",
    "PrototypeFreezer",
    "QueueStarter",
    "ReconstructionImages",
    "ReconstructionTable",
    "ReconstructionWriter",
    "SegmentationResults",
    "TrainingBookkeeping",
    "TrainingCheckpoint",
    "ValidationRunner",
    "ViewImages",
    "find_checkpoint",
]
