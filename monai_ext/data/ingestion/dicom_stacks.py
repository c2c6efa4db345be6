"""Stacks from the DICOM files of one series: grouped, ordered, decoded, with the rows of the index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_ext.data.dicom.intensity import HOUNSFIELD_TYPES, SliceReader
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.dicom.series import (
    DicomObject,
    DicomSeries,
    DicomSlice,
    describe_object,
    find_oddities,
    group_objects,
)
from monai_ext.data.dicom.signal import STORED as AS_STORED
from monai_ext.data.dicom.signal_series import SeriesSignal
from monai_ext.data.ingestion.codes import body_part_code, kernel_code
from monai_ext.data.ingestion.defacing import deface
from monai_ext.data.ingestion.messages import Finished, Message, Reading, Stack, Task
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.outcomes import STORED, Outcome, outcome_of
from monai_ext.data.ingestion.stack_making import Plane, series_key
from monai_ext.data.pseudonyms import Pseudonyms
from monai_ext.data.store.codec import pack_series

__all__ = ["DicomStacks"]

_REMEMBERED_HEADERS = 2048
"""They take some 30 kB each; those of longer series are read twice."""


class DicomStacks:
    """Makes stacks from files that share a SeriesInstanceUID. A file that cannot be decoded is left out of its stack.

    Args:
        task: the files.
        source: folder that names are relative to.
        source_kind: ``"ct"`` or ``"mr"``.
        options: what to do.
        pseudonyms: makes ids.
    """

    def __init__(
        self, task: Task, *, source: Path, source_kind: str, options: IngestOptions, pseudonyms: Pseudonyms
    ) -> None:
        self._unit, self._stored, self._options, self._pseudonyms = task.unit, task.stored, options, pseudonyms
        self._scales = task.scales
        self._files = {source / reference.name: reference for reference in task.files}
        self._is_ct = source_kind == "ct"
        accepted = (*HOUNSFIELD_TYPES, *options.wanted.rescale_types)
        self._reader = SliceReader(rescale_types=accepted, remembered=_REMEMBERED_HEADERS, is_isolated=False)
        self._left: Counter[Path] = Counter()
        self._failed: set[Path] = set()

    def read(self) -> Iterator[Message]:
        """Yield stacks, and what became of files that are in none."""
        objects = []
        for path, reference in self._files.items():
            yield Reading(reference.file)
            try:
                objects.append(self._look_at(path, reference.name))
            except Exception as error:  # whatever a hostile file provokes ends this file only
                yield Finished(reference.file, outcome_of(error))
        found, copies = group_objects(objects)
        yield from self._finish(copies, Outcome(SkipReason.DUPLICATE.value))
        self._left.update(path for series in found for path in _paths(series.slices))
        for series in found:
            yield from self._new_stacks(series)

    def _look_at(self, path: Path, name: str) -> DicomObject:
        modalities = ("CT",) if self._is_ct else ("MR",)
        found = describe_object(self._reader.header(path), name=name, modalities=modalities)
        if self._pseudonyms.digest("unit", found.series_uid) != self._unit:
            raise Refusal(SkipReason.UNREADABLE, "another file took its place meanwhile")
        wanted, thickness = self._options.wanted, found.slices[0].slice_thickness_mm
        if wanted.body_part and found.body_part not in wanted.body_part:
            raise Refusal(SkipReason.FILTERED, "BodyPartExamined (0018,0015)")
        if wanted.kernel and found.kernel not in wanted.kernel:
            raise Refusal(SkipReason.FILTERED, "ConvolutionKernel (0018,1210)")
        if wanted.slice_thickness_mm is not None:
            thinnest, thickest = wanted.slice_thickness_mm
            if thickness is None or not thinnest <= thickness <= thickest:
                raise Refusal(SkipReason.FILTERED, "SliceThickness (0018,0050)")
        return found

    def _new_stacks(self, series: DicomSeries) -> Iterator[Message]:
        """Stacks of a series without the objects that are stored already."""
        origins = {path: self._stored.get(instance) for path, instance in self._instances(series.slices).items()}
        for path, origin in origins.items():
            if origin is not None:
                is_same = origin == self._files[path].file
                yield from self._end_of([path], Outcome(STORED if is_same else SkipReason.DUPLICATE.value))
        fresh = tuple(
            dicom_slice
            for dicom_slice in series.slices
            if origins[dicom_slice.path] is None and dicom_slice.path not in self._failed
        )
        if fresh:
            yield from self._parts(replace(series, slices=fresh))

    def _measure(self, series: DicomSeries, signal: SeriesSignal) -> Iterator[Message]:
        """Go through an MR series for its scale; what cannot be decoded is finished and left out."""
        for step in (signal.look_at,) if signal.scale is not None else (signal.look_at, signal.count):
            for dicom_slice in _by_file(series.slices):
                if dicom_slice.path not in self._failed:
                    yield from self._try(dicom_slice, step)
        signal.settle()

    def _try(self, dicom_slice: DicomSlice, step: Callable[[DicomSlice], None]) -> Iterator[Message]:
        """Do something with a slice; whatever a hostile file provokes ends this file only."""
        yield Reading(self._files[dicom_slice.path].file)
        try:
            step(dicom_slice)
        except Exception as error:
            self._failed.add(dicom_slice.path)
            yield Finished(self._files[dicom_slice.path].file, outcome_of(error))

    def _parts(self, series: DicomSeries) -> Iterator[Message]:
        """Cut a series that is too large for the memory into stacks, between files."""
        paths = _paths(series.slices)
        if len(series.slices) < self._options.wanted.least_slices:
            yield from self._end_of(paths, Outcome(SkipReason.FILTERED.value, "least_slices"))
            return
        plane = Plane(series.rows, series.columns, self._options.in_plane, np.int16)
        most = self._options.largest_part_bytes // (2 * plane.shape[0] * plane.shape[1])
        is_whole = self._options.deface or len(paths) < len(
            series.slices
        )  # half a head does not show where the face is
        if len(series.slices) > most and (most == 0 or is_whole):
            yield from self._end_of(paths, Outcome(SkipReason.TOO_LARGE.value, "raise --largest-series-mib"))
            return
        signal = None
        if not self._is_ct:
            signal = SeriesSignal(
                self._reader, self._scales.get(series_key(self._series_digest(series), self._pseudonyms))
            )
            try:
                yield from self._measure(series, signal)
            except Refusal as refusal:
                yield from self._end_of([path for path in paths if path not in self._failed], outcome_of(refusal))
                return
        for start in range(0, len(series.slices), most):
            part = series.slices[start : start + most]
            yield from self._stack(series, part, replace(plane), signal)

    def _stack(
        self, series: DicomSeries, slices: Sequence[DicomSlice], plane: Plane, signal: SeriesSignal | None
    ) -> Iterator[Message]:
        pixels = np.empty((len(slices), *plane.shape), plane.dtype)
        places = {dicom_slice: number for number, dicom_slice in enumerate(slices)}
        read = self._reader.decode if signal is None else signal.read

        def convert(dicom_slice: DicomSlice) -> None:
            plane.convert(read(dicom_slice), into=pixels[places[dicom_slice]])

        for dicom_slice in _by_file(slices):
            if dicom_slice.path not in self._failed:
                yield from self._try(dicom_slice, convert)
        kept = [number for number, dicom_slice in enumerate(slices) if dicom_slice.path not in self._failed]
        if kept:
            chosen = [slices[number] for number in kept]
            pixels = pixels if len(kept) == len(slices) else pixels[kept]
            try:
                done = self._deface(series, chosen, plane, pixels)
            except Refusal as refusal:
                yield from self._end_of(_paths(chosen), outcome_of(refusal))
                return
            yield self._pack(series, chosen, plane, pixels, done | _noted(signal))

    def _deface(
        self, series: DicomSeries, slices: Sequence[DicomSlice], plane: Plane, pixels: np.ndarray
    ) -> dict[str, Any]:
        """Take the face out where that was asked for; returns what to note with the series."""
        if not self._options.deface:
            return {}
        spacing = plane.spacing(slices[0].row_spacing_mm, slices[0].column_spacing_mm)
        done = deface(
            pixels,
            positions_mm=[image.position_mm for image in slices],
            spacing_mm=(spacing["row_spacing_mm"], spacing["column_spacing_mm"]),
            orientation=series.orientation,
            body_part=body_part_code(series.body_part),
        )
        return {"deface": done}

    def _pack(
        self,
        series: DicomSeries,
        slices: list[DicomSlice],
        plane: Plane,
        pixels: np.ndarray,
        done: Mapping[str, Any],
    ) -> Stack:
        paths = _paths(slices)
        self._left.subtract(paths)
        findings = [finding.kind for finding in find_oddities(slices)]
        findings += ["no_rescale"] * (done.get("signal_from") == AS_STORED)
        return Stack(
            units=[self._unit] * len(paths),
            series=self._series_digest(series),
            provenance=plane.provenance() | {"format": "dicom", "findings": findings, **done},
            instances={instance: self._files[path].file for path, instance in self._instances(slices).items()},
            completes=[self._files[path].file for path in sorted(paths) if self._left[path] == 0],
            content=pack_series(pixels, self._table(series, slices, plane)),
        )

    def _table(self, series: DicomSeries, slices: Sequence[DicomSlice], plane: Plane) -> list[dict[str, Any]]:
        shared = {
            "patient_id": self._patient(series, slices[0].name),
            "study_id": self._pseudonyms.of("study", series.study_uid or series.series_uid),
            "gantry_tilt_deg": series.gantry_tilt_deg,
            "kernel": kernel_code(series.kernel, self._pseudonyms),
            "modality": series.modality,
            "body_part": body_part_code(series.body_part),
            "source_format": "dicom",
            "site": self._options.site,
        }
        positions = np.array([dicom_slice.position_mm for dicom_slice in slices])
        distances = np.diff(positions, append=2 * positions[-1] - positions[-2] if len(slices) > 1 else np.nan)
        return [
            shared
            | plane.spacing(dicom_slice.row_spacing_mm, dicom_slice.column_spacing_mm)
            | {"position_mm": dicom_slice.position_mm, "slice_thickness_mm": dicom_slice.slice_thickness_mm}
            | {"slice_spacing_mm": float(distance) if np.isfinite(distance) else None}
            for dicom_slice, distance in zip(slices, distances, strict=True)
        ]

    def _patient(self, series: DicomSeries, name: str) -> str:
        """Who it is: by the file's path where that was asked for, else by the most reliable identity that is there."""
        from_name = self._options.patient_from_name(name)
        if from_name is not None:
            return self._pseudonyms.of("patient", from_name)
        if series.patient_id and self._options.patient_by == "auto":
            return self._pseudonyms.of("patient", series.patient_id)
        return self._pseudonyms.of("patient of study", series.study_uid or series.series_uid)

    def _series_digest(self, series: DicomSeries) -> bytes:
        orientation = (f"{cosine + 0.0:.2f}" for cosine in series.orientation)
        return self._pseudonyms.digest("series", series.series_uid, series.rows, series.columns, *orientation)

    def _instances(self, slices: Sequence[DicomSlice]) -> dict[Path, bytes]:
        """Hash of each file's object; of a multi-frame object with several orientations, one for each."""
        first: dict[Path, DicomSlice] = {}
        for dicom_slice in slices:
            if dicom_slice.path not in first or dicom_slice.frame < first[dicom_slice.path].frame:
                first[dicom_slice.path] = dicom_slice
        return {
            path: self._pseudonyms.digest("instance", self._unit, dicom_slice.instance_uid, dicom_slice.frame)
            for path, dicom_slice in first.items()
        }

    def _end_of(self, paths: Sequence[Path], outcome: Outcome) -> Iterator[Message]:
        """Finish files that have no slices in series that are still to come."""
        self._left.subtract(paths)
        yield from self._finish([path for path in paths if self._left[path] == 0], outcome)

    def _finish(self, paths: Sequence[Path], outcome: Outcome) -> Iterator[Message]:
        for path in paths:
            yield Finished(self._files[path].file, outcome)


def _noted(signal: SeriesSignal | None) -> dict[str, Any]:
    return {} if signal is None else signal.provenance()


def _by_file(slices: Sequence[DicomSlice]) -> list[DicomSlice]:
    """In the order in which they are read fastest: frames of one file one after the other."""
    return sorted(slices, key=lambda dicom_slice: (dicom_slice.path, dicom_slice.frame))


def _paths(slices: Sequence[DicomSlice]) -> list[Path]:
    return sorted({dicom_slice.path for dicom_slice in slices})
