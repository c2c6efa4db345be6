"""The one way in: a folder of images, or nothing at all, becomes a dataset of slices for pre-training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai_ext.data.holdout import hold_out
from monai_ext.data.phantoms.sample import embedded_sample
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.dicom import DicomSource
from monai_ext.data.sources.folder_scan import scan_folder
from monai_ext.data.sources.nifti import NiftiSource
from monai_ext.data.sources.pictures import PictureSource
from monai_ext.data.sources.source import SliceSource
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice

__all__ = ["load_size_for", "open_slices", "open_source"]

logger = logging.getLogger(__name__)

SECTIONS = ("training", "validation", "all")

_SOURCES: dict[str, Callable[[Path, Sequence[Path]], SliceSource]] = {
    "pictures": PictureSource,
    "DICOM": DicomSource,
    "NIfTI": NiftiSource,
}


def open_slices(
    dataset_dir: str | Path | SliceSource | None = None,
    *,
    section: str = "training",
    image_size: int = 224,
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
    seed: int = 0,
    validation_fraction: float = 0.1,
    cache_gib: float = 1.0,
) -> SliceImages:
    """Open the slices of a folder as float32 tensors (C, S, S) in [0, 1].

    Training items are larger than the views that are cropped from them, S = 8/7 ``image_size`` (256 for 224, the usual
    ratio); those of the other sections have exactly ``image_size``, ready for the network.

    Args:
        dataset_dir: a folder (it may be nested) of PNG or JPEG pictures, of DICOM, or of NIfTI volumes, a single such
            file, or a slice store; or what :func:`open_source` gave. The embedded sample of phantom CT when omitted.
        section: ``"training"``, ``"validation"`` (the slices held out from training) or ``"all"``.
        image_size: side of the network's input in pixels.
        window: which Hounsfield units become 0 .. 1: a preset, ``[center_hu, width_hu]``, or a list with one a channel.
        channels: C; one window is repeated, a list of windows must be as long.
        seed: chooses what is held out.
        validation_fraction: part of the patients, series, volumes or pictures that is held out.
        cache_gib: memory for decoded slices in GiB.

    Returns:
        The dataset, with ``fingerprint``, ``groups``, ``window`` and ``describe()``.

    Raises:
        DatasetError: the folder does not exist, holds no image, several kinds of images, or a damaged one.
        ValueError: an unknown section or window, or windows that do not fit the channels.
    """
    if section not in SECTIONS:
        raise ValueError(f"There is no section {section!r}; the sections are {', '.join(SECTIONS)}.")
    source = open_source(dataset_dir) if dataset_dir is None or isinstance(dataset_dir, str | Path) else dataset_dir
    indices = _choose(source, section, validation_fraction=validation_fraction, seed=seed)
    slices = SliceImages(
        source,
        indices=indices,
        load_size=load_size_for(image_size) if section == "training" else image_size,
        window=window,
        channels=channels,
        cache_gib=cache_gib,
        labels={
            "source": str(source.root) if dataset_dir is not None else "embedded sample",
            "section": section,
            "seed": seed,
            "validation_fraction": validation_fraction,
        },
    )
    _report(slices, image_size=image_size, is_sample=dataset_dir is None)
    return slices


def load_size_for(image_size: int) -> int:
    """Side of the slices that views of ``image_size`` are cropped from: 8/7 of it, rounded up."""
    return -(-image_size * 8 // 7)


def open_source(dataset_dir: str | Path | None) -> SliceSource:
    """Find out what ``dataset_dir`` holds and open it; the embedded sample when it is None.

    Raises:
        DatasetError: see :func:`open_slices`.
    """
    from monai_ext.data.sources.store import StoreSource
    from monai_ext.data.store.reader import is_slice_store

    folder = Path(dataset_dir).expanduser() if dataset_dir is not None else embedded_sample()
    if is_slice_store(folder):
        return StoreSource(folder)
    scan = scan_folder(folder)
    return _SOURCES[scan.kind](scan.root, scan.files)


def _choose(source: SliceSource, section: str, *, validation_fraction: float, seed: int) -> Sequence[int]:
    """Which slices of the source make up the section."""
    if section == "all":
        return range(len(source))
    training, validation = hold_out(source.held_together, fraction=validation_fraction, seed=seed)
    if section == "validation" and not validation:
        raise DatasetError(
            "No slice is left for the section 'validation': with validation_fraction=0 none is held out. Set it to a"
            " fraction such as 0.1."
        )
    return training if section == "training" else validation


def _report(slices: SliceImages, *, image_size: int, is_sample: bool) -> None:
    """One line on what was opened, one on the sample, and a warning when the images have to be enlarged."""
    told: dict[str, Any] = slices.describe()
    if is_sample and told["section"] == "training":
        logger.warning(
            "No dataset_dir is given: this trains on the embedded sample, phantom CT in %s. It shows that everything"
            " works; give the folder of your own slices with --dataset_dir.",
            slices.source.root,
        )
    logger.info(
        "%s: %d slices of kind %s in %d groups (by %s) from %s.",
        told["section"].capitalize(),
        told["count"],
        told["kind"],
        told["groups"],
        told["grouped_by"],
        told["source"],
    )
    smallest = told["smallest_rows_columns"]
    if told["section"] == "training" and min(smallest) < image_size:
        logger.warning(
            "Some images are smaller than the network's input and will be enlarged: the smallest has %d x %d pixels,"
            " image_size is %d. A smaller image_size trains faster and loses nothing.",
            *smallest,
            image_size,
        )
