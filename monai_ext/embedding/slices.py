"""The slices of which features are wanted, with labels where they have any, and their features batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_ext.data import SliceImages, open_labelled_sets, open_slices, slice_loader
from monai_ext.data.labelled.labels import has_labels
from monai_ext.data.sources.open import find_data, open_source
from monai_ext.data.sources.source import GRAY_LEVELS
from monai_ext.embedding.feature_table import FeatureRows
from monai_ext.embedding.features import encode_batches, evenly_spaced, pooled
from monai_ext.parallel.devices import Precision
from monai_ext.transforms.window import WindowChoice

__all__ = ["KeptFeatures", "SlicesToEmbed", "encode_slices", "open_slices_to_embed"]


@dataclass(frozen=True)
class SlicesToEmbed:
    """Slices ready for a network.

    Attributes:
        images: float32 (C, S, S) in [0, 1].
        groups: of every slice, a pseudonym of the patient, series or picture.
        labels: class of every slice, by name; empty where there are none.
        sections: of every labelled slice in the published split; empty where there is none.
    """

    images: SliceImages
    groups: tuple[str, ...]
    labels: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()

    @property
    def rows(self) -> FeatureRows:
        """What a table of their features tells of them."""
        return FeatureRows(self.images.indices, self.groups, self.labels, self.sections)


def open_slices_to_embed(
    path: str | Path,
    *,
    image_size: int,
    window: WindowChoice | Sequence[WindowChoice],
    channels: int,
    class_folders: bool = False,
    section: str = "all",
    columns: Mapping[str, str | None] | None = None,
) -> SlicesToEmbed:
    """Open slices, with their labels where a table, or a store, has some.

    Args:
        path: what :func:`~monai_ext.data.open_slices` or :func:`~monai_ext.data.open_labelled_images` takes.
        image_size: side of the network's input.
        window: for Hounsfield units; pictures are taken as they are.
        channels: of the network's input.
        class_folders: take the first folders below ``path`` for classes.
        section: of labelled slices.
        columns: of a labels table, see :func:`~monai_ext.data.open_labelled_images`.

    Raises:
        DatasetError, SplitError: the data cannot be read; or labels were asked for, by ``class_folders``, ``section``
            or ``columns``, and are not there.
    """
    place = find_data(path)
    if class_folders or section != "all" or columns or has_labels(place):
        entry = {"path": str(place.path), "section": section, "columns": columns}
        (labelled,) = open_labelled_sets([entry], image_size=image_size, window=window, channels=channels)
        names = tuple(labelled.class_names[label] for label in labelled.labels)
        return SlicesToEmbed(labelled.images, labelled.groups, names, labelled.sections)
    source = open_source(place)
    shown = "full" if source.values == GRAY_LEVELS else window
    options: dict[str, Any] = {"image_size": image_size, "window": shown, "channels": channels}
    images = open_slices(source, section="all", unreadable="blank", **options)
    return SlicesToEmbed(images, images.groups)


def encode_slices(
    encoder: nn.Module,
    slices: SlicesToEmbed,
    *,
    device: torch.device,
    batch_size: int = 64,
    precision: str = "fp32",
    num_workers: int = 2,
) -> Iterator[Tensor]:
    """Features (B, D), float32 on the CPU, of batch after batch, in order; NaN for a slice that cannot be decoded.

    Args:
        encoder: in evaluation mode, on the device; gives vectors or maps, which are averaged.
        slices: what to encode.
        device: where to.
        batch_size: slices at a time.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` or ``"auto"``.
        num_workers: processes that read slices.

    Raises:
        DatasetError: a slice cannot be read.
    """
    autocast = Precision(precision, device=device).autocast

    def encode(images: Tensor) -> tuple[Tensor]:
        with autocast():
            features: Tensor = encoder(images)
        is_blank = images.flatten(1).isnan().all(dim=1, keepdim=True)
        return (pooled(features.float()).masked_fill(is_blank, torch.nan),)

    loader = slice_loader(slices.images, batch_size=batch_size, num_workers=num_workers)
    for (features,) in encode_batches(encode, loader, device=device):
        yield features


class KeptFeatures:
    """Features of evenly spaced slices, kept for a map while those of all pass by.

    Args:
        count: number of all slices.
        limit: number of slices to keep at most.

    Attributes:
        rows: which slices are kept; without those that cannot be decoded, once their features have passed.
    """

    def __init__(self, count: int, *, limit: int) -> None:
        self.rows = evenly_spaced(count, limit=max(0, limit))
        self.left_out = 0
        self._parts: list[Tensor] = []

    def pass_on(self, batches: Iterable[Tensor], passed: Callable[[int], object]) -> Iterator[Tensor]:
        """Give the batches (B, D) on, and call ``passed`` with the number of slices of each."""
        wanted = torch.tensor(self.rows, dtype=torch.long)
        first, self.rows = 0, []
        for batch in batches:
            blank = batch.isnan().all(dim=1)
            here = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
            here = here[~blank[here]]
            self.rows += (here + first).tolist()
            self.left_out += int(blank.sum())
            self._parts.append(batch[here])
            first += len(batch)
            passed(len(batch))
            yield batch

    @property
    def features(self) -> Tensor:
        """(N, D), those that were kept, in the order of ``rows``."""
        return torch.cat(self._parts)
