"""Stacks from pictures: those of one shape are stored together, since storing each on its own takes far longer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import LARGEST_SIDE
from monai_ext.data.ingestion.messages import FileRef, Finished, Message, Reading, Stack, Task
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.outcomes import outcome_of
from monai_ext.data.pseudonyms import Pseudonyms
from monai_ext.data.ingestion.stack_making import Plane, file_unit, hash_content
from monai_ext.data.store.codec import pack_series

__all__ = ["PictureStacks"]


class PictureStacks:
    """Makes stacks from pictures, as gray levels of 8 bit. A picture that cannot be decoded is left out.

    Args:
        task: the files.
        source: folder that names are relative to.
        options: what to do.
        pseudonyms: makes ids.
    """

    def __init__(self, task: Task, *, source: Path, options: IngestOptions, pseudonyms: Pseudonyms) -> None:
        self._task, self._source = task, source
        self._options, self._pseudonyms = options, pseudonyms

    def read(self) -> Iterator[Message]:
        """Yield stacks, and what became of files that are in none."""
        shapes: dict[tuple[int, int], list[FileRef]] = {}
        for one in self._task.files:
            yield Reading(one.file)
            try:
                shapes.setdefault(_shape(self._source / one.name), []).append(one)
            except Exception as error:  # whatever a hostile file provokes ends this file only
                yield Finished(one.file, outcome_of(error))
        for (rows, columns), files in sorted(shapes.items(), key=lambda item: item[0]):
            plane = Plane(rows=rows, columns=columns, in_plane=self._options.in_plane, dtype=np.uint8)
            most = max(1, self._options.largest_part_bytes // (plane.shape[0] * plane.shape[1]))
            for start in range(0, len(files), most):
                yield from self._stack(files[start : start + most], plane)

    def _stack(self, files: Sequence[FileRef], plane: Plane) -> Iterator[Message]:
        pixels = np.empty((len(files), *plane.shape), np.uint8)
        kept: dict[bytes, FileRef] = {}
        for one in files:
            yield Reading(one.file)
            try:
                path = self._source / one.name
                instance = self._pseudonyms.digest("instance", "picture", one.name, hash_content(path))
                if instance in self._task.stored:
                    yield Finished(one.file, self._task.outcome_of_stored(instance, one.file))
                    continue
                plane.convert(_gray(self._source, path), into=pixels[len(kept)])
                kept[instance] = one
            except Exception as error:  # whatever a hostile file provokes ends this file only
                yield Finished(one.file, outcome_of(error))
        if kept:
            yield Stack(
                units=[file_unit(one.name, self._pseudonyms) for one in kept.values()],
                series=self._pseudonyms.digest("series", "pictures", *kept),
                provenance=plane.provenance() | {"format": "picture", "findings": []},
                instances={instance: one.file for instance, one in kept.items()},
                completes=[one.file for one in kept.values()],
                content=pack_series(pixels[: len(kept)], [self._row(one.name) for one in kept.values()]),
            )

    def _row(self, name: str) -> dict[str, Any]:
        patient = self._options.patient_from_name(name) or name
        return {
            "patient_id": self._pseudonyms.of("patient", patient),
            "source_format": "picture",
            "site": self._options.site,
        }


def _shape(path: Path) -> tuple[int, int]:
    """(rows, columns) that a picture declares."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # Pillow raises errors of many types on damaged files
        raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None
    if max(width, height) > LARGEST_SIDE or min(width, height) < 1:
        raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"it has {width} x {height} pixels")
    return height, width


def _gray(source: Path, path: Path) -> np.ndarray:
    from monai_ext.data.sources.pictures import PictureSource
    from monai_ext.errors import DatasetError

    try:
        reader = PictureSource(source, [path])
        return reader.read(0) * (255 / np.iinfo(reader.dtype).max)
    except DatasetError:
        raise Refusal(SkipReason.DAMAGED, "its pixels cannot be decoded") from None
