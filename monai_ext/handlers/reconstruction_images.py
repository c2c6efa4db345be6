"""Pictures of what the network paints, which say more than the loss does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from monai_ext.engines.events import PretrainingEvents, epochs_completed
from monai_ext.engines.pretraining_trainer import PretrainingTrainer, images_of
from monai_ext.files import write_result
from monai_ext.networks import expand_mask, reconstruct
from monai_ext.parallel.processes import process_rank, unwrap
from monai_ext.parallel.random_streams import preserved_random_streams

__all__ = ["ReconstructionImages", "as_png", "picture_grid"]

_HIDDEN = 0.5
"""Gray of masked patches: darker or brighter would look like air or bone."""


class ReconstructionImages:
    """Write a PNG with a row for each of a few held-out images: the image, what the encoder sees of it, the
    reconstruction.

    Images and masks are the same each time, so that the pictures of a run can be compared. Of a volume the middle slice
    along the first axis is shown. Random streams are left as they were.

    Args:
        output_dir: folder of the pictures, ``reconstruction_<epoch>.png``; it is made.
        dataset: held-out images ``(C, *spatial)`` in [0, 1], or dictionaries with such an ``"image"``.
        views: a deterministic transform of a batch, such as a centre crop; the evaluator's.
        images: number of rows; the images are taken at even distances from the whole data set.
        every_epochs: epochs between pictures; None paints whenever held-out slices have been judged.
        seed: of the masks.

    Raises:
        ValueError: when a number is not positive.
        TrainingStoppedError: when the disk refuses the file.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        dataset: Any,
        views: Callable[[Tensor], Tensor] | None = None,
        images: int = 6,
        every_epochs: int | None = None,
        seed: int = 0,
    ) -> None:
        if images < 1:
            raise ValueError(f"A picture needs at least 1 image; received images={images}.")
        self.folder = Path(output_dir)
        self.dataset = dataset
        self.views = views
        self.images = images
        self.seed = seed
        validated = PretrainingEvents.VALIDATION_COMPLETED
        self._time = validated if every_epochs is None else epochs_completed(every_epochs)

    def attach(self, engine: PretrainingTrainer) -> None:
        """Write pictures at the end of epochs of the trainer, in one process."""
        if process_rank() == 0:
            engine.add_event_handler(self._time, self._write)

    def _write(self, engine: PretrainingTrainer) -> None:
        if engine.state.iteration == 0:  # the validation before the training
            return
        path = self.folder / f"reconstruction_{engine.state.epoch:05d}.png"
        with preserved_random_streams():
            picture = self._paint(unwrap(engine.network), engine.state.device)
        write_result(path, as_png(picture), what="the picture", state=engine.state)
        engine.state.pictures = str(path)
        engine.fire_event(PretrainingEvents.PICTURES_WRITTEN)

    def _paint(self, network: Any, device: torch.device) -> Tensor:
        images = self._images().to(device)
        if self.views is not None:
            images = self.views(images)
        visible = network.draw_visible(images, torch.Generator().manual_seed(self.seed))
        return picture_grid(images, visible, reconstruct(network, images, visible))

    def _images(self) -> Tensor:
        count = min(self.images, len(self.dataset))
        items = [self.dataset[index * len(self.dataset) // count] for index in range(count)]
        return torch.stack([images_of(item) for item in items])


def picture_grid(image: Tensor, visible: Tensor, reconstruction: Tensor) -> Tensor:
    """Three columns, one row an image: input, visible patches, reconstruction.

    Args:
        image: ``(B, C, *spatial)`` in [0, 1]; of volumes the middle slice of the first axis is taken.
        visible: boolean ``(B, 1, *grid)``, True where the encoder sees.
        reconstruction: as ``image``.

    Returns:
        ``(C, B * H, 3 * W)`` in [0, 1], on the CPU.
    """
    masked = torch.where(expand_mask(visible, image.shape[2:]), image, torch.full_like(image, _HIDDEN))
    columns = torch.cat([image, masked, reconstruction], dim=-1).float()
    if columns.dim() == 5:
        columns = columns[:, :, columns.shape[2] // 2]
    return torch.cat(list(columns), dim=1).clamp(0, 1).cpu()


def as_png(picture: Tensor) -> Callable[[BinaryIO], None]:
    """What writes ``(C, H, W)`` in [0, 1] to a file as an 8-bit PNG, gray for one channel and RGB for three."""
    from PIL import Image

    pixels = (picture * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    content = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return lambda file: content.save(file, format="PNG")
