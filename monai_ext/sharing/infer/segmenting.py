"""Read a folder with ingestion's knowledge and mark labels in each series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from monai_ext.data.dicom.series import DicomSeries, DicomSlice
from monai_ext.sharing.infer.answering import answer_each_series, batches
from monai_ext.sharing.infer.answers import AnsweredSeries, FileUse, SliceAnswer, Warned
from monai_ext.sharing.infer.warning_rules import warnings_of
from monai_ext.sharing.reference_statistics import ReferenceDistances, network_inputs, watched_features
from monai_ext.sharing.trained_segmenter import TrainedSegmenter

__all__ = ["SegmentedAnswers", "SegmentedSeries", "label_volumes_ml", "segment_folder"]

SLICE_RULE = "each slice alone, brought to the network's size; its output is brought back to the slice's own pixels"


@dataclass(frozen=True)
class SegmentedSeries(AnsweredSeries):
    """One series with its mask.

    Args:
        series: as it was found.
        slices: those that could be decoded, in order of position.
        mask: (D, H, W), uint8: the label of each pixel of these slices, 0 is background.
        volumes_ml: by label, in millilitres; None where the source does not say the distance of pixels.
        warnings: why it may mean nothing.
    """

    slices: tuple[DicomSlice, ...] = field(repr=False)
    mask: np.ndarray = field(repr=False)
    volumes_ml: dict[int, float | None]
    warnings: tuple[Warned, ...]

    def marked_slices(self, label: int) -> int:
        """In how many slices there is a pixel of a label."""
        return int((self.mask == label).any(axis=(1, 2)).sum())

    @property
    def fullest(self) -> int:
        """Number of the slice with the most marked pixels; the middle one where nothing is marked."""
        marked = (self.mask > 0).sum(axis=(1, 2))
        return int(marked.argmax()) if marked.any() else len(self.slices) // 2


@dataclass(frozen=True)
class SegmentedAnswers:
    """Everything that was marked in a folder.

    Args:
        model: name, version, SHA-256 of the weights, and labels.
        rules: how a mask is made, in words.
        series: with their masks.
        files: what became of every file.
    """

    model: dict[str, Any]
    rules: dict[str, Any]
    series: tuple[SegmentedSeries, ...]
    files: tuple[FileUse, ...]


def segment_folder(
    model: TrainedSegmenter,
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> SegmentedAnswers:
    """Mark labels in every CT series below a folder; the source is only read.

    Args:
        model: a trained segmentation network.
        source: folder with DICOM files and whatever else lies there.
        device: where to run.
        progress: called with the number of slices that are done, and of all.

    Raises:
        DatasetError: the folder cannot be listed, or has no series that can be answered.
    """
    network, distances = model.build(device), ReferenceDistances(model.reference)

    def answer(series: DicomSeries, refused: dict[Path, FileUse]) -> SegmentedSeries | None:
        slices: list[SliceAnswer] = []
        masks: list[np.ndarray] = []
        clipped: list[float] = []
        for batch in batches(series, model.settings["window_hu"], refused):
            images = [image for _, image, _ in batch]
            with watched_features(network) as seen:
                masks += _masks(model, network, images, device)
            distant = zip(batch, distances.of_features(seen[0]), distances.of_images(images), strict=True)
            slices += [SliceAnswer(dicom_slice, (), feature, gray) for (dicom_slice, _, _), feature, gray in distant]
            clipped += [share for _, _, share in batch]
        return _segmented(model, series, slices, masks, float(np.mean(clipped))) if slices else None

    answered, files = answer_each_series(source, answer, progress)
    called = "the likeliest label" if model.threshold is None else f"from a probability of {model.threshold:g} on"
    return SegmentedAnswers(
        model.about(labels=model.labels),
        {"mask": SLICE_RULE, "call": called, "volume": "marked pixels, each as thick as half way to its neighbours"},
        answered,
        files,
    )


def _masks(
    model: TrainedSegmenter, network: torch.nn.Module, images: Sequence[Tensor], device: torch.device | str
) -> list[np.ndarray]:
    settings = model.settings
    with torch.no_grad():
        logits = network(network_inputs(images, settings["image_size"], settings["in_channels"]).to(device)).float()
    size = tuple(images[0].shape[-2:])
    own = interpolate(logits, size=size, mode="bilinear", align_corners=False)
    return list(model.masks(own).cpu().numpy())


def _segmented(
    model: TrainedSegmenter,
    series: DicomSeries,
    answers: Sequence[SliceAnswer],
    masks: Sequence[np.ndarray],
    clipped: float,
) -> SegmentedSeries:
    slices, mask = tuple(answer.slice for answer in answers), np.stack(masks)
    reference = model.reference
    trained = {"body_parts": model.body_parts, "slice_thickness_mm": (reference or {}).get("slice_thickness_mm")}
    return SegmentedSeries(
        series=series,
        slices=slices,
        mask=mask,
        volumes_ml=label_volumes_ml(mask, slices, list(model.labels)),
        warnings=warnings_of(series, answers, trained=trained, reference=reference, clipped=clipped),
    )


def label_volumes_ml(mask: np.ndarray, slices: Sequence[DicomSlice], labels: Sequence[int]) -> dict[int, float | None]:
    """Volume of each label: marked pixels times their area times the slice's share of the stack.

    A slice stands for the stack from half way to its lower to half way to its upper neighbour, the outermost for as
    much outwards; a slice alone for its SliceThickness (0018,0050).

    Args:
        mask: (D, H, W) labels.
        slices: D of them, in order of position.
        labels: to be measured.
    """
    positions = np.array([dicom_slice.position_mm for dicom_slice in slices])
    if len(slices) > 1:
        gaps = np.diff(positions)
        extents = (np.concatenate([gaps[:1], gaps]) + np.concatenate([gaps, gaps[-1:]])) / 2
    else:
        extents = np.array([slices[0].slice_thickness_mm or np.nan])
    areas = np.array(
        [(dicom_slice.row_spacing_mm or np.nan) * (dicom_slice.column_spacing_mm or np.nan) for dicom_slice in slices]
    )
    weights = extents * areas / 1000
    measured = {label: float(((mask == label).sum(axis=(1, 2)) * weights).sum()) for label in labels}
    return {label: None if np.isnan(volume) else volume for label, volume in measured.items()}
