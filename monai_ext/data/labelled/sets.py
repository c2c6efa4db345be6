"""Any number of labelled sets for one network, for signals during pre-training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ext.data.labelled.images import LabelledImages
from monai_ext.data.labelled.labelled_sections import open_labelled_sections
from monai_ext.errors import DatasetError, SplitError
from monai_ext.transforms.window import WindowChoice

if TYPE_CHECKING:
    from monai_ext.data.open_slices import SliceSections
    from monai_ext.data.volumes.sections import VolumeSections

__all__ = ["open_labelled_sets"]


def open_labelled_sets(
    paths: str | Sequence[str | Mapping[str, Any]] | None,
    *,
    section: str = "training",
    image_size: int = 224,
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
    like: SliceSections | VolumeSections | None = None,
) -> list[LabelledImages]:
    """Open any number of labelled sets as images of the network's size.

    Each has a name of its own in curves and comparisons: the one that is given, else its classes, which are the same
    wherever it lies. Pictures, which have no Hounsfield units, are taken as they are whatever the window. Of a set
    without a split, all items are for training: nothing is trained or chosen by these signals.

    Args:
        paths: one path; a list of paths, or of dictionaries with ``path``, ``section``, ``name`` and arguments of
            :func:`~monai_ext.data.open_labelled_sections` such as
            ``{"path": "/data/ct", "columns": {"label": "diagnosis"}}``; or None for no set.
        section: of every set that does not name its own. The test section is not for signals while training.
        image_size: side of the network's input in pixels.
        window: for sets with Hounsfield units.
        channels: of the network's input.
        like: slices whose image size, window and channels are taken in place of these three.

    Raises:
        DatasetError: sets are named, and ``like`` are volumes.
        DatasetError, SplitError, ValueError: as :func:`~monai_ext.data.open_labelled_sections`.
    """
    if like is not None:
        image_size, window, channels = like.image_size, like.window, like.channels
    asked = [paths] if isinstance(paths, str | Mapping) else list(paths or [])
    if asked and getattr(like, "spatial_dims", 2) != 2:
        raise DatasetError(
            "Labelled slices were named for k-NN accuracy, but the encoder is trained on volumes and takes no slices:"
            " leave labelled_dirs away, or pre-train in 2D."
        )
    defaults = {"section": section, "image_size": image_size, "window": window, "channels": channels}
    sets: list[LabelledImages] = []
    for entry in asked:
        arguments = {"path": entry} if isinstance(entry, str | Path) else dict(entry)
        if "path" not in arguments:
            raise DatasetError(f'A labelled set is a path, or has one as {{"path": ...}}; received {entry!r}.')
        name = arguments.pop("name", None)
        opened = _open(**(defaults | arguments))
        opened.name = str(name or opened.name)
        taken = {other.name for other in sets}
        opened.name = next(name for name in _candidates(opened.name) if name not in taken)
        sets.append(opened)
    return sets


def _open(path: str | Path, *, section: str, image_size: int, **options: Any) -> LabelledImages:
    sections = open_labelled_sections(path, load_size=image_size, as_published=True, **options)
    if not sections.division.is_made_here:
        return sections.choose(section)
    if section not in ("training", "all"):
        raise SplitError(
            f"{sections.division.data.items.name} has no published split, so it has no section {section!r}: make one"
            " with `python -m monai_ext splits make` and give its file as splits, or ask for the section 'all'."
        )
    return sections.choose("all")


def _candidates(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}_{number}" for number in count(2))
