"""Stacks from pictures: those of one shape are stored together, since storing each on its own takes far longer."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.selection import LARGEST_SIDE
from monai_ext.data.ingestion.messages import FileRef, Finished, Message, Reading, Stack, Task
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.outcomes import outcome_of
from monai_ext.data.ingestion.stack_making import Plane, file_unit
from monai_ext.data.pseudonyms import Pseudonyms
from monai_ext.data.store.codec import pack_series
from monai_ext.files import read_regular

__all__ = ["PictureStacks"]

LARGEST_PICTURE_BYTES = 2**29
"""Size of the largest file that is read: 8192 x 8192 pixels of four 16-bit channels without compression."""


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
        """Yield stacks, and what became of files that are in none; every file is opened once."""
        waiting: dict[tuple[int, int], _Waiting] = {}
        self._waiting_bytes = 0
        for ref in self._task.files:
            yield Reading(ref.file)
            try:
                content = read_regular(self._source / ref.name, most=LARGEST_PICTURE_BYTES)
                digest = hashlib.sha256(content).digest()
                instance = self._pseudonyms.digest("instance", "picture", ref.name, digest)
                if instance in self._task.stored:
                    yield Finished(ref.file, self._task.outcome_of_stored(instance, ref.file))
                    continue
                levels = _gray(content)
                stack = waiting.setdefault(levels.shape, self._empty(*levels.shape))
                yield from self._make_room(waiting, stack)
                stack.add(instance, ref, levels)
                self._waiting_bytes += stack.plane_bytes
            except Exception as error:  # whatever a hostile file provokes ends this file only
                yield Finished(ref.file, outcome_of(error))
        for _, stack in sorted(waiting.items()):
            yield from self._finish(stack)

    def _empty(self, rows: int, columns: int) -> _Waiting:
        return _Waiting(Plane(rows=rows, columns=columns, in_plane=self._options.in_plane, dtype=np.uint8))

    def _make_room(self, waiting: Mapping[tuple[int, int], _Waiting], stack: _Waiting) -> Iterator[Message]:
        """Finish the largest stacks while another picture would take more memory than is allowed."""
        while stack.plane_bytes + self._waiting_bytes > self._options.largest_part_bytes:
            largest = max(waiting.values(), key=lambda other: other.total_bytes)
            if not largest.planes:
                return
            yield from self._finish(largest)

    def _finish(self, stack: _Waiting) -> Iterator[Message]:
        if not stack.planes:
            return
        kept, stack.refs = stack.refs, {}
        self._waiting_bytes -= stack.total_bytes
        pixels = stack.take_pixels()
        yield Stack(
            units=[file_unit(ref.name, self._pseudonyms) for ref in kept.values()],
            series=self._pseudonyms.digest("series", "pictures", *kept),
            provenance=stack.plane.provenance() | {"format": "picture", "findings": []},
            instances={instance: ref.file for instance, ref in kept.items()},
            completes=[ref.file for ref in kept.values()],
            content=pack_series(pixels, [self._row(ref.name) for ref in kept.values()]),
        )
        stack.plane.clipped = 0

    def _row(self, name: str) -> dict[str, Any]:
        patient = self._options.patient_from_name(name) or name
        return {
            "patient_id": self._pseudonyms.of("patient", patient),
            "source_format": "picture",
            "site": self._options.site,
        }


@dataclass
class _Waiting:
    """Pictures of one shape that are to be stored together."""

    plane: Plane
    planes: list[np.ndarray] = field(default_factory=list)
    refs: dict[bytes, FileRef] = field(default_factory=dict)

    @property
    def plane_bytes(self) -> int:
        return self.plane.shape[0] * self.plane.shape[1]

    @property
    def total_bytes(self) -> int:
        return len(self.planes) * self.plane_bytes

    def add(self, instance: bytes, ref: FileRef, levels: np.ndarray) -> None:
        pixels = np.empty(self.plane.shape, np.uint8)
        self.plane.convert(levels, into=pixels)
        self.planes.append(pixels)
        self.refs[instance] = ref

    def take_pixels(self) -> np.ndarray:
        """(n, rows, columns); every picture's own memory is given back as it is copied, as a stack may be large."""
        pixels = np.empty((len(self.planes), *self.plane.shape), np.uint8)
        self.planes.reverse()
        for place in range(len(pixels)):
            pixels[place] = self.planes.pop()
        return pixels


def _gray(content: bytes) -> np.ndarray:
    """Gray levels of a picture's file, float32 (rows, columns), 0 .. 255.

    Raises:
        Refusal: it is damaged, or declares a size that no picture has.
    """
    from PIL import Image

    from monai_ext.data.sources.pictures import gray_levels

    try:
        with Image.open(io.BytesIO(content)) as picture:
            width, height = picture.size
            if max(width, height) > LARGEST_SIDE or min(width, height) < 1:
                raise Refusal(SkipReason.IMPLAUSIBLE_SIZE, f"it has {width} x {height} pixels")
            levels, white = gray_levels(picture)
    except (Refusal, MemoryError):
        raise
    except Exception as error:  # Pillow raises errors of many types on damaged files
        raise Refusal(SkipReason.DAMAGED, type(error).__name__) from None
    return levels * (255 / white)
