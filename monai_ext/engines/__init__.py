"""Training and evaluation loops of self-supervised pre-training, on MONAI's Workflow."""

from monai_ext.engines.augmented_batch import AugmentedBatch
from monai_ext.engines.automatic_choices import settled
from monai_ext.engines.distributed import distribute
from monai_ext.engines.events import PretrainingEvents, epochs_completed
from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.optimizers.training_length import TrainingLength
from monai_ext.parallel.devices import Precision, select_device
from monai_ext.parallel.processes import process_count, process_rank, unwrap
from monai_ext.parallel.random_streams import RandomStreams, preserved_random_streams

__all__ = [
    "AugmentedBatch",
    "Precision",
    "PretrainingEvaluator",
    "PretrainingEvents",
    "PretrainingTrainer",
    "RandomStreams",
    "TrainingLength",
    "distribute",
    "epochs_completed",
    "preserved_random_streams",
    "process_count",
    "process_rank",
    "select_device",
    "settled",
    "unwrap",
]
