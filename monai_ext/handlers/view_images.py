"""A page of example views at the start of a training, kept and logged with the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Events
from torch import Tensor

from monai_ext.engines.events import PretrainingEvents
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.errors import TrainingStoppedError
from monai_ext.files import write_atomically
from monai_ext.handlers.view_page import draw_view_page
from monai_ext.parallel.processes import process_rank

__all__ = ["ViewImages"]


class ViewImages:
    """Write ``views.png``: a few images, and beside each what augmentation makes of it.

    It is written when the first epoch starts, once a run; a run that is continued has it already. Random streams are
    left as they were.

    Args:
        output_dir: folder of the picture; it is made.
        dataset: images ``(C, H, W)`` in [0, 1], or dictionaries with such an ``"image"``; the trainer's when omitted.
        views: the trainer's when omitted.
        images: number of rows.
        seed: of the views shown.

    Raises:
        ValueError: when ``images`` is not positive.
        TrainingStoppedError: when the disk refuses the file.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        dataset: Any = None,
        views: Callable[[Tensor], Tensor | Sequence[Tensor]] | None = None,
        images: int = 6,
        seed: int = 0,
    ) -> None:
        if images < 1:
            raise ValueError(f"A page of views needs at least 1 image; received images={images}.")
        self.path = Path(output_dir) / "views.png"
        self.dataset = dataset
        self.views = views
        self.images = images
        self.seed = seed

    def attach(self, engine: PretrainingTrainer) -> None:
        """Write the page at the start of the trainer's first epoch, in one process."""
        if process_rank() == 0:
            engine.add_event_handler(Events.EPOCH_STARTED(once=1), self._write)

    def _write(self, engine: PretrainingTrainer) -> None:
        dataset = engine.data_loader.dataset if self.dataset is None else self.dataset  # type: ignore[union-attr]
        views: Any = self.views or engine.views
        page = draw_view_page(dataset, views, images=self.images, seed=self.seed, device=engine.state.device)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, lambda file: page.save(file, format="PNG"))
        except OSError as error:
            raise TrainingStoppedError(
                f"Training stopped before its first iteration: the picture {self.path} was not written"
                f" ({error.strerror or error}). Free space or choose another output_dir."
            ) from error
        engine.state.pictures = str(self.path)
        engine.fire_event(PretrainingEvents.PICTURES_WRITTEN)
