"""What happens in pre-training besides the events of Ignite and MONAI."""

from __future__ import annotations

from ignite.engine import Engine, EventEnum, Events
from ignite.engine.events import CallableEventWithFilter

__all__ = ["PretrainingEvents", "epochs_completed"]


class PretrainingEvents(EventEnum):
    """Events of :class:`~monai_ext.engines.PretrainingTrainer`; each says what the engine's state then holds."""

    VALIDATION_COMPLETED = "validation_completed"
    """``state.metrics`` holds the fresh metrics of the held-out slices."""
    CHECKPOINT_REQUESTED = "checkpoint_requested"
    """Training is about to stop on request; whoever keeps checkpoints writes one now."""
    CHECKPOINT_SAVED = "pretraining_checkpoint_saved"
    """``state.last_checkpoint`` is the path of a complete checkpoint."""
    PICTURES_WRITTEN = "pictures_written"
    """``state.pictures`` is the path of a PNG file; its name, without a number at the end, says what it shows."""
    ENCODER_EXPORTED = "encoder_exported"
    """``state.encoder_path`` is the path of the exported encoder."""


def epochs_completed(every: int) -> CallableEventWithFilter:
    """The end of every n-th epoch, and of the last one.

    Raises:
        ValueError: when ``every`` is not positive.
    """
    if every < 1:
        raise ValueError(f"Something can happen every epoch or more rarely, not every {every} epochs: give 1 or more.")

    def is_due(engine: Engine, epoch: int) -> bool:
        return epoch % every == 0 or epoch == engine.state.max_epochs

    return Events.EPOCH_COMPLETED(event_filter=is_due)
