"""Write a picture of every reconstructed image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Events

from monai_ext.engines.reconstruction_evaluator import ReconstructionEvaluator
from monai_ext.handlers.reconstruction_images import picture_grid, write_picture
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

    def attach(self, engine: ReconstructionEvaluator) -> None:
        """Write after every iteration."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._write)

    def _write(self, engine: ReconstructionEvaluator) -> None:
        output = engine.state.output
        if output["first"] >= self.limit:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        painted = paint_masked_patches(output["prediction"], output["image"], output["visible"])
        rows = zip(output["image"].split(1), output["visible"].split(1), painted.split(1), strict=True)
        for number, (image, visible, reconstruction) in enumerate(rows, start=output["first"]):
            if number < self.limit:
                name = f"{number:06d}_{self.groups[number]}.png"
                write_picture(self.folder / name, picture_grid(image, visible, reconstruction))
