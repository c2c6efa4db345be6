"""Images with masks by section: opened once, chosen from as often as a config needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from monai_ext.data.labelled.sections import Division
from monai_ext.data.phantoms.segmented import embedded_segmented_sample
from monai_ext.data.segmented.images import SegmentedImages
from monai_ext.data.segmented.label_values import MaskValue
from monai_ext.data.segmented.masked_data import MaskedData, open_masked
from monai_ext.data.slice_images import SliceImages
from monai_ext.data.sources.source import GRAY_LEVELS
from monai_ext.errors import DatasetError
from monai_ext.transforms.window import WindowChoice, hounsfield_windows

__all__ = ["SegmentedSections", "open_segmented_sections"]

logger = logging.getLogger(__name__)

_STRIDE = 32


class SegmentedSections:
    """The sections of images with masks, which never share a patient; made by :func:`open_segmented_sections`.

    Args:
        data: the slices with their masks.
        division: which of them are in which section.
        section: that :attr:`training` is; a reduction of the splits, for example.
        window: of Hounsfield units.
        channels: C.
    """

    def __init__(
        self,
        data: MaskedData,
        division: Division,
        *,
        section: str = "training",
        window: WindowChoice | Sequence[WindowChoice] = "full",
        channels: int = 1,
    ) -> None:
        self.data, self.division, self.section = data, division, str(section)
        self.class_names = data.class_names
        self._windows = hounsfield_windows(window)  # refused when it is none, also where there are pictures only
        shown = "full" if data.source.values == GRAY_LEVELS else window
        self._options: dict[str, Any] = {"window": shown, "channels": channels}

    @cached_property
    def training(self) -> SegmentedImages:
        """The images to train on."""
        return self.choose(self.section)

    @cached_property
    def validation(self) -> SegmentedImages:
        """The images by which the best epoch is chosen."""
        return self.choose("validation")

    @property
    def fingerprint(self) -> str:
        """Identifies the data, all sections together."""
        return self.data.items.content_hash

    @property
    def settings(self) -> dict[str, Any]:
        """What a run is described by, as plain values: what inference needs to treat images alike."""
        bounds = [[window.lower_hu, window.upper_hu] for window in self._windows]
        return {
            "task_kind": "segmentation",
            "class_names": list(self.class_names),
            "labels": {str(number): name for number, name in enumerate(self.class_names) if number},
            "output": "softmax",
            "window_hu": bounds[0] if len(bounds) == 1 else bounds or None,
            "modality": self.data.source.modality,
            "data_fingerprint": self.fingerprint,
        }

    def choose(self, section: str) -> SegmentedImages:
        """The images of any section: ``"training"``, ``"validation"``, ``"test"``, a reduction, or ``"all"``.

        Raises:
            DatasetError: nothing is marked in the section that is to be trained on.
            SplitError: there is no such section, or it shares a patient with another.
        """
        section = str(section)  # a command line makes a number of 0.25
        places = self.division.places(section)
        resembling = self.division.resembling_earlier(section)
        indices = self.data.source_places(places)
        images = SegmentedImages(
            SliceImages(self.data.source, indices=indices, load_size=None, **self._options),
            data=self.data,
            items=self.data.related,
            places=places,
            section=section,
            near_duplicates=[number for number, place in enumerate(places) if place in resembling],
        )
        _check_marks(images)
        _report(images)
        return images


def open_segmented_sections(
    dataset_dir: str | Path | None,
    *,
    class_names: Sequence[str] = ("background", "lesion"),
    mask_values: Sequence[MaskValue] | None = None,
    section: str = "training",
    window: WindowChoice | Sequence[WindowChoice] = "full",
    channels: int = 1,
    image_size: int | None = None,
    columns: Mapping[str, str | None] | None = None,
    splits: str | Path | None = None,
    fold: int = 0,
    seed: int = 0,
) -> SegmentedSections:
    """Open images with masks, once for all of their sections.

    The split is that of ``splits``, else the one that was published with the data; where that has no validation
    section, a fifth of the training patients is held out. Where there is no split at all, a fifth of the patients is
    for validation and a fifth for test. Near duplicates stay together, see
    :func:`~monai_ext.data.open_labelled_sections`.

    Args:
        dataset_dir: a table (CSV) with the columns ``file`` and ``mask``, or a folder with such a ``masks.csv``; a
            folder with ``images`` and ``masks`` in which an image and its mask have the same name; or a slice store
            with ``masks.csv``. Pictures, or NIfTI volumes with label maps of the same grid, whose axial slices are the
            images. The embedded phantoms when None.
        class_names: background first.
        mask_values: of each class its value, or values, in the masks; None for the numbers of the classes, or, of two
            classes, 0 and white.
        section: what ``.training`` is: ``"training"``, or a reduction of ``splits`` such as ``"0.5"``.
        window: which Hounsfield units become 0 .. 1; pictures, which have none, are taken as they are.
        channels: C.
        image_size: side of the network's input, a multiple of 32; not checked when omitted.
        columns: names of columns that differ from ``{"file": "file", "mask": "mask", "group": "patient_id", "split":
            "split"}``.
        splits: file made by ``python -m monai_ext splits make``.
        fold: which fold of ``splits``.
        seed: of the split that is made where there is none.

    Raises:
        DatasetError: there are no masks, a mask has no image, another size or grid, values that are no class, or
            nothing is marked, or ``image_size`` is no multiple of 32.
        SplitError: a table or a split cannot be used.
        ValueError: the window is none, or classes and values do not fit.
    """
    if image_size is not None and (image_size < _STRIDE or image_size % _STRIDE):
        raise DatasetError(
            f"The network halves images five times, so image_size is a multiple of {_STRIDE}; received {image_size}:"
            f" take {max(_STRIDE, round(image_size / _STRIDE) * _STRIDE)}."
        )
    if dataset_dir is None:
        dataset_dir = embedded_segmented_sample()
        logger.warning(
            "No dataset_dir is given: these are the embedded phantoms with masks, in %s. They show that everything"
            " works; give your own images with masks with --dataset_dir.",
            dataset_dir,
        )
    data = open_masked(dataset_dir, class_names=class_names, mask_values=mask_values, columns=columns)
    division = Division(data, splits=splits, fold=fold, seed=seed)
    return SegmentedSections(data, division, section=section, window=window, channels=channels)


def _check_marks(images: SegmentedImages) -> None:
    if any(images.labels):
        return
    finding = f"Nothing is marked in any of the {len(images)} images of the section {images.section!r}"
    if images.section in ("validation", "test"):
        logger.warning("%s: there is no Dice of it.", finding)
        return
    raise DatasetError(f"{finding}, so nothing can be learnt: choose another split, or add images.")


def _report(images: SegmentedImages) -> None:
    content = images.describe()
    shares = ", ".join(f"{share:.2%} {name}" for name, share in list(images.class_shares().items())[1:])
    logger.info(
        "%s: %d images, something marked in %d (of all pixels %s), in %d groups (by %s).",
        images.section.capitalize(),
        len(images),
        content["with_a_mask"],
        shares,
        content["groups"],
        content["grouped_by"],
    )
