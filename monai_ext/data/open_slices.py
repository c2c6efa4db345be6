"""The one way in: a folder of images, or nothing at all, becomes a dataset of slices for pre-training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_ext.data.holdout import hold_out
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.open import open_source
from monai_ext.data.sources.source import SliceSource
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice

__all__ = ["SliceSections", "SourceSections", "load_size_for", "open_sections", "open_slices", "warn_of_sample"]

logger = logging.getLogger(__name__)

SECTIONS = ("training", "validation", "all")


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
    unreadable: str | None = None,
) -> SliceImages:
    """Open the slices of a folder as float32 tensors (C, S, S) in [0, 1].

    Training items are larger than the views that are cropped from them, S = 8/7 ``image_size`` (256 for 224, the usual
    ratio); those of the other sections have exactly ``image_size``, ready for the network.

    Args:
        dataset_dir: a folder (it may be nested) of PNG or JPEG pictures, of DICOM, or of NIfTI, MetaImage or NRRD
            volumes, a single such file, a slice store, or a MedMNIST file; or a source that
            :func:`~monai_ext.data.sources.open.open_source` opened. The embedded sample of phantom CT when omitted.
        section: ``"training"``, ``"validation"`` (the slices held out from training) or ``"all"``.
        image_size: side of the network's input in pixels.
        window: which Hounsfield units become 0 .. 1: a preset, ``[center_hu, width_hu]``, or a list with one a channel.
        channels: C; one window is repeated, a list of windows must be as long.
        seed: chooses what is held out.
        validation_fraction: part of the patients, series, volumes or pictures that is held out.
        cache_gib: memory for decoded slices in GiB.
        unreadable: what stands in for a slice that cannot be decoded, see
            :class:`~monai_ext.data.slice_images.SliceImages`; when omitted the next slice, with a warning, and in the
            section ``"all"``, where each item stands for itself, an error.

    Returns:
        The dataset, with ``fingerprint``, ``groups``, ``window`` and ``describe()``.

    Raises:
        DatasetError: the folder does not exist, holds no image, several kinds of images, or a damaged one.
        ValueError: an unknown section or window, or windows that do not fit the channels.
    """
    if section not in SECTIONS:
        raise ValueError(f"There is no section {section!r}; the sections are {', '.join(SECTIONS)}.")
    source = open_source(dataset_dir) if dataset_dir is None or isinstance(dataset_dir, str | Path) else dataset_dir
    return _section_of(
        source,
        section,
        is_sample=dataset_dir is None,
        image_size=image_size,
        window=window,
        channels=channels,
        seed=seed,
        validation_fraction=validation_fraction,
        cache_gib=cache_gib,
        unreadable=unreadable,
    )


class SourceSections:
    """What sections of one opened source have in common, whatever their items are.

    Args:
        source: all slices.
        is_sample: whether they are those of the embedded sample.
    """

    def __init__(self, source: SliceSource, *, is_sample: bool) -> None:
        self.source, self.is_sample = source, is_sample

    @property
    def fingerprint(self) -> str:
        """Identifies the source's data."""
        return self.source.fingerprint

    def epochs_limit(self, sample_epochs: int | None) -> int | None:
        """The length of a demonstration: ``sample_epochs`` on the embedded sample, no limit (None) on real data."""
        return sample_epochs if self.is_sample else None

    @property
    def settings(self) -> dict[str, Any]:
        """What a run is described by, as plain values."""
        return {"data_fingerprint": self.fingerprint, "modality": self.source.modality}


class SliceSections(SourceSections):
    """The slices to train on and those held out, of one folder that is opened once; made by :func:`open_sections`.

    A section is made when it is first asked for.

    Args:
        source: all slices.
        is_sample: whether they are those of the embedded sample.
        image_size, window, channels: of :func:`open_slices` for both sections.
        options: the others.
    """

    def __init__(
        self,
        source: SliceSource,
        *,
        is_sample: bool,
        image_size: int,
        window: WindowChoice | Sequence[WindowChoice],
        channels: int,
        **options: Any,
    ) -> None:
        super().__init__(source, is_sample=is_sample)
        self.image_size, self.window, self.channels = image_size, window, channels
        self._options = {"image_size": image_size, "window": window, "channels": channels, **options}

    @cached_property
    def training(self) -> SliceImages:
        """The slices to train on, larger than the views that are cropped from them."""
        return self._choose("training")

    @cached_property
    def validation(self) -> SliceImages:
        """The slices that are held out, of the network's size; they share no patient with :attr:`training`."""
        return self._choose("validation")

    def _choose(self, section: str) -> SliceImages:
        return _section_of(self.source, section, is_sample=self.is_sample, **self._options)


def open_sections(
    dataset_dir: str | Path | None = None,
    *,
    image_size: int = 224,
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
    validation_fraction: float = 0.1,
    seed: int = 0,
    cache_gib: float = 1.0,
) -> SliceSections:
    """Open the slices of a folder once, for training and for validation: arguments as of :func:`open_slices`.

    Example:
        >>> slices = open_sections(image_size=32)
        >>> len(slices.training) + len(slices.validation), set(slices.training.groups) & set(slices.validation.groups)
        (148, set())
    """
    return SliceSections(
        open_source(dataset_dir),
        is_sample=dataset_dir is None,
        image_size=image_size,
        window=window,
        channels=channels,
        validation_fraction=validation_fraction,
        seed=seed,
        cache_gib=cache_gib,
    )


def load_size_for(image_size: int) -> int:
    """Side of the slices that views of ``image_size`` are cropped from: 8/7 of it, rounded up."""
    return -(-image_size * 8 // 7)


def warn_of_sample(root: Path, own: str) -> None:
    """Say that a training has no data of its own; ``own`` is what could be given."""
    logger.warning(
        "No dataset_dir is given: this trains on the embedded sample, phantom CT in %s. It shows that everything"
        " works; give the folder of your own %s with --dataset_dir.",
        root,
        own,
    )


def _section_of(
    source: SliceSource,
    section: str,
    *,
    is_sample: bool,
    image_size: int,
    window: WindowChoice | Sequence[WindowChoice],
    channels: int,
    seed: int,
    validation_fraction: float,
    cache_gib: float,
    unreadable: str | None = None,
) -> SliceImages:
    slices = SliceImages(
        source,
        indices=_choose(source, section, validation_fraction=validation_fraction, seed=seed),
        load_size=load_size_for(image_size) if section == "training" else image_size,
        window=window,
        channels=channels,
        cache_gib=cache_gib,
        labels={
            "source": "embedded sample" if is_sample else str(source.root),
            "section": section,
            "seed": seed,
            "validation_fraction": validation_fraction,
        },
        unreadable=unreadable or ("refuse" if section == "all" else "next"),
    )
    _report(slices, image_size=image_size, is_sample=is_sample)
    return slices


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
    content: dict[str, Any] = slices.describe()
    if is_sample and content["section"] == "training":
        warn_of_sample(slices.source.root, "slices")
    logger.info(
        "%s: %d slices of kind %s in %d groups (by %s) from %s.",
        content["section"].capitalize(),
        content["count"],
        content["kind"],
        content["groups"],
        content["grouped_by"],
        content["source"],
    )
    smallest = content["smallest_rows_columns"]
    if content["section"] == "training" and min(smallest) < image_size:
        logger.warning(
            "Some images are smaller than the network's input and will be enlarged: the smallest has %d x %d pixels,"
            " image_size is %d. A smaller image_size trains faster and loses nothing.",
            *smallest,
            image_size,
        )
