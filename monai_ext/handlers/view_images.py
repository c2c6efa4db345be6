"""A page of example views: what augmentation makes of a few images, to be looked at before a long training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events
from torch import Tensor

from monai_ext.engines.events import PretrainingEvents
from monai_ext.engines.pretraining_trainer import PretrainingTrainer, images_of
from monai_ext.files import write_result
from monai_ext.parallel.processes import process_rank
from monai_ext.parallel.random_streams import preserved_random_streams

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ViewImages", "draw_view_page"]

_TILE, _CAPTION, _GAP = 176, 30, 6
_BACKGROUND, _INK = 24, 208
_DRAWS_OF_ONE_VIEW = 4


class ViewImages:
    """Write ``views.png``: a few images, and beside each what augmentation makes of it.

    Of volumes the middle slice along the first axis is shown. It is written when the first epoch starts, once a run; a
    run that is continued has it already. Random streams are left as they were.

    Args:
        output_dir: folder of the picture; it is made.
        dataset: images ``(C, *spatial)`` in [0, 1], or dictionaries with such an ``"image"``; the trainer's when
            omitted.
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
        write_result(
            self.path, lambda file: page.save(file, format="PNG"), what="the picture of the views", state=engine.state
        )
        engine.state.pictures = str(self.path)
        engine.fire_event(PretrainingEvents.PICTURES_WRITTEN)


def draw_view_page(
    dataset: Any,
    views: Callable[[Tensor], Tensor | Sequence[Tensor]],
    *,
    images: int = 6,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Image:
    """Draw a row for each of a few images: the image as it is loaded, then each of its views.

    All pictures are drawn at one scale, so a view is as large beside its image as it is for the network, and in the
    window that the network sees. Views that are one a sample are drawn four times. Random streams are left as they
    were.

    Args:
        dataset: images ``(C, *spatial)`` in [0, 1], or dictionaries with such an ``"image"``; those shown are taken at
            even distances. Of volumes the middle slice along the first axis is drawn.
        views: of a batch, as the trainer takes them; ``views.kinds``, where there is such a thing, names them.
        images: number of rows.
        seed: of the views.
        device: on which the views are made.

    Raises:
        ValueError: no image is asked for, or the data set is empty, or its images are neither 2D nor 3D or have other
            than one or three channels.
    """
    batch = _choose(dataset, images)
    with preserved_random_streams():
        torch.manual_seed(seed)
        made = _make(views, batch.to(device))
    kinds = getattr(views, "kinds", ["view"] * len(made))
    columns = [batch, *(view.cpu() for view in made)]
    captions = ["image", *(f"{kind} {kinds[:place].count(kind) + 1}" for place, kind in enumerate(kinds))]
    captions = [_caption(text, column) for text, column in zip(captions, columns, strict=True)]
    return _paste([_middle(column) for column in columns], captions)


def _choose(dataset: Any, images: int) -> Tensor:
    """(n, C, *spatial) at even distances from the whole data set."""
    if images < 1 or not len(dataset):
        raise ValueError(f"A page of views needs at least 1 image, but {images} of {len(dataset)} were asked for.")
    count = min(images, len(dataset))
    batch = torch.stack([images_of(dataset[index * len(dataset) // count]) for index in range(count)])
    if batch.ndim not in (4, 5) or batch.shape[1] not in (1, 3):
        raise ValueError(
            "A page of views shows images or volumes with one or three channels, not images of shape"
            f" {tuple(batch.shape[1:])}."
        )
    return batch


def _make(views: Callable[[Tensor], Tensor | Sequence[Tensor]], batch: Tensor) -> list[Tensor]:
    """The views of a batch; several draws where there is one view a sample."""
    made = views(batch)
    if not isinstance(made, Tensor):
        return list(made)
    return [made, *(torch.as_tensor(views(batch)) for _ in range(_DRAWS_OF_ONE_VIEW - 1))]


def _caption(text: str, column: Tensor) -> str:
    return f"{text}\n{' x '.join(map(str, column.shape[2:]))}"


def _middle(column: Tensor) -> Tensor:
    """(n, C, H, W): of volumes the middle slice along the first axis."""
    return column if column.ndim == 4 else column[:, :, column.shape[2] // 2]


def _paste(columns: Sequence[Tensor], captions: Sequence[str]) -> Image:
    """Columns (n, C, h, w) of different sizes side by side, at one scale, with their captions above."""
    from PIL import Image, ImageDraw

    scale = _TILE / max(max(column.shape[-2:]) for column in columns)
    widths = [max(60, round(column.shape[-1] * scale)) for column in columns]
    step = max(round(column.shape[-2] * scale) for column in columns) + _GAP
    page = Image.new("RGB", (sum(widths) + _GAP * (len(columns) + 1), step * len(columns[0]) + _CAPTION + _GAP))
    page.paste((_BACKGROUND,) * 3, (0, 0, *page.size))
    pen = ImageDraw.Draw(page)
    left = _GAP
    for column, caption, width in zip(columns, captions, widths, strict=True):
        pen.multiline_text((left, 2), caption, fill=(_INK,) * 3, font_size=11, spacing=2)
        size = (round(column.shape[-1] * scale), round(column.shape[-2] * scale))
        for row, image in enumerate(column):
            tile = _tile(image).resize(size, Image.Resampling.BICUBIC)
            page.paste(tile, (left, _CAPTION + row * step))
        left += width + _GAP
    return page


def _tile(image: Tensor) -> Image:
    """(C, H, W) in [0, 1] as 8-bit RGB."""
    from PIL import Image

    pixels = (image.float().clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).numpy()
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
