"""What happens in pre-training besides the events of Ignite and MONAI."""

from __future__ import annotations

from ignite.engine import EventEnum

__all__ = ["PretrainingEvents"]


class PretrainingEvents(EventEnum):
    """Events of :class:`~monai_ext.engines.PretrainingTrainer`; each says what the engine's state then holds."""

    VALIDATION_COMPLETED = "validation_completed"
    """``state.metrics`` holds the fresh metrics of the held-out slices."""
    CHECKPOINT_REQUESTED = "checkpoint_requested"
    """Training is about to stop on request; whoever keeps checkpoints writes one now."""
    CHECKPOINT_SAVED = "pretraining_checkpoint_saved"
    """``state.last_checkpoint`` is the path of a complete checkpoint."""
    PICTURES_WRITTEN = "pictures_written"
    """``state.pictures`` is the path of a PNG file with reconstructions."""
    ENCODER_EXPORTED = "encoder_exported"
    """``state.encoder_path`` is the path of the exported encoder."""
