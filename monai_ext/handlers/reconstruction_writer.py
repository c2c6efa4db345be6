"""Write a picture of every reconstructed image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Events

from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.files import write_result
from monai_ext.handlers.reconstruction_images import as_png, picture_grid
from monai_ext.networks import paint_masked_patches

__all__ = ["ReconstructionWriter"]


class ReconstructionWriter:
    """Write ``<number>_<group>.png`` for the images of a loader: image, what the encoder saw, reconstruction.

    The painted patches borrow brightness and contrast from the true ones, see
    :func:`~monai_ext.networks.paint_masked_patches`.

    Args:
        output_dir: folder of the pictures; it is made.
        groups: of every image in the loader's order, as ``dataset.groups``: a pseudonym of where it comes from.
        limit: number of pictures, taken from the beginning; None for all.
    """

    def __init__(self, output_dir: str | Path, *, groups: Sequence[str], limit: int | None = None) -> None:
        self.folder = Path(output_dir)
        self.groups = groups
        self.limit = len(groups) if limit is None else limit

    def attach(self, engine: PretrainingEvaluator) -> None:
        """Write after every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._write)

    def _write(self, engine: PretrainingEvaluator) -> None:
        first = engine.state.output["first"]
        if first >= self.limit:
            return
        prediction, images, visible = engine.state.output["output"]
        painted = paint_masked_patches(prediction, images, visible)
        rows = zip(images.split(1), visible.split(1), painted.split(1), strict=True)
        for number, (image, seen, reconstruction) in enumerate(rows, start=first):
            if number < self.limit:
                name = f"{number:06d}_{self.groups[number]}.png"
                picture = picture_grid(image, seen, reconstruction)
                write_result(self.folder / name, as_png(picture), what="a picture")
