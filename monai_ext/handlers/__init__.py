"""What happens at a certain time of a pre-training: saving, validating, stopping, reporting. One handler a file.

Several handlers of one event act in the order of the list: validation and the guard come before the checkpoints, and
the checkpoints, which resume, before tracking and progress.
"""

from monai_ext.handlers.checkpoint_files import find_checkpoint
from monai_ext.handlers.encoder_exporter import EncoderExporter
from monai_ext.handlers.encoder_features import EncoderFeatures
from monai_ext.handlers.graceful_termination import GracefulTermination
from monai_ext.handlers.non_finite_loss_guard import NonFiniteLossGuard
from monai_ext.handlers.progress_reporter import ProgressReporter
from monai_ext.handlers.reconstruction_images import ReconstructionImages
from monai_ext.handlers.reconstruction_table import ReconstructionTable
from monai_ext.handlers.reconstruction_writer import ReconstructionWriter
from monai_ext.handlers.training_checkpoint import TrainingCheckpoint
from monai_ext.handlers.validation_runner import ValidationRunner

__all__ = [
    "EncoderExporter",
    "EncoderFeatures",
    "GracefulTermination",
    "NonFiniteLossGuard",
    "ProgressReporter",
    "ReconstructionImages",
    "ReconstructionTable",
    "ReconstructionWriter",
    "TrainingCheckpoint",
    "ValidationRunner",
    "find_checkpoint",
]
