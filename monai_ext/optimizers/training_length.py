"""How long to train: in passes over the data, or in images seen."""

from __future__ import annotations

import logging
from collections.abc import Sequence

__all__ = ["TrainingLength"]

logger = logging.getLogger(__name__)


class TrainingLength:
    """Length of a training, converted between epochs, iterations and images.

    Methods are compared at equal numbers of images seen, whatever their batch sizes; papers state epochs. The slices
    are an endless stream, hence an epoch is ``ceil(samples / batch_size)`` full batches, and a budget of images is met
    to within one batch: the last epoch may be shorter.

    Args:
        samples: slices in the training set.
        batch_size: images of one optimiser step over all processes.
        epochs: passes over the data; ignored when ``images_seen`` is given.
        images_seen: budget of images; training ends with the batch that reaches it.
        epochs_limit: upper bound of the length in epochs, None for none.
        keep_at_images: smaller budgets of images; what has been trained when one is reached is kept beside the result,
            to see what less training would have given.

    Attributes:
        epoch_length: iterations of a full epoch.
        total_iterations: iterations of the whole training.
        in_images: whether the length was given as ``images_seen``.
        keep_at_images: as given; empty for none.

    Raises:
        ValueError: when a number is not positive, or neither ``epochs`` nor ``images_seen`` is given.

    Example:
        >>> length = TrainingLength(samples=100, batch_size=32, images_seen=200)
        >>> length.epoch_length, length.total_iterations, length.max_epochs, length.images_seen
        (4, 7, 2, 224)
    """

    def __init__(
        self,
        samples: int,
        *,
        batch_size: int,
        epochs: int | None = None,
        images_seen: int | None = None,
        epochs_limit: int | None = None,
        keep_at_images: Sequence[int] | None = None,
    ) -> None:
        counts = {"samples": samples, "batch_size": batch_size, "epochs": epochs}
        for name, value in {**counts, "images_seen": images_seen, "epochs_limit": epochs_limit}.items():
            if value is not None and value < 1:
                raise ValueError(f"The length of a training needs {name} of at least 1; received {value}.")
        self.keep_at_images = tuple(keep_at_images or ())
        if any(budget < 1 for budget in self.keep_at_images):
            raise ValueError(
                "Results are kept at budgets of at least one image; keep_at_images received"
                f" {list(self.keep_at_images)}."
            )
        self.samples = samples
        self.batch_size = batch_size
        self.in_images = images_seen is not None
        self.epoch_length = _ceil_divide(samples, batch_size)
        if images_seen is not None:
            self.total_iterations = _ceil_divide(images_seen, batch_size)
        elif epochs is not None:
            self.total_iterations = epochs * self.epoch_length
        else:
            raise ValueError("The length of a training is given by epochs or by images_seen; neither was given.")
        if epochs_limit is not None and self.total_iterations > epochs_limit * self.epoch_length:
            self.total_iterations = epochs_limit * self.epoch_length
            logger.info("Training is limited to %d epochs (%d images).", epochs_limit, self.images_seen)

    @property
    def max_epochs(self) -> int:
        """Epochs that are begun; the last one may be shorter than the others."""
        return _ceil_divide(self.total_iterations, self.epoch_length)

    @property
    def images_seen(self) -> int:
        """Images of the whole training."""
        return self.total_iterations * self.batch_size

    @property
    def settings(self) -> dict[str, int]:
        """What a run is described by, as plain values."""
        return {"images_seen": self.images_seen}


def _ceil_divide(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
