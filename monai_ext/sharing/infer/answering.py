"""Read a folder with ingestion's knowledge and answer each series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.data.dicom.series import DicomSeries, DicomSlice, SeriesIndex, find_series
from monai_ext.errors import DatasetError, DicomSeriesError
from monai_ext.sharing.infer.answers import (
    STUDY_RULE,
    Answers,
    FileUse,
    SeriesAnswer,
    SliceAnswer,
    StudyAnswer,
)
from monai_ext.sharing.infer.warning_rules import warnings_of
from monai_ext.sharing.reference_statistics import ReferenceDistances, network_inputs, watched_features
from monai_ext.sharing.series_rule import MEAN_RULE, SERIES_RULE, highest_tenth, resampled_interval
from monai_ext.sharing.trained_classifier import TrainedClassifier

__all__ = [
    "Network",
    "answer_each_series",
    "answer_folder",
    "batches",
    "windowed",
]

BATCH = 16
AIR_HU = -900.0
MODALITY = "CT"

Answered = TypeVar("Answered")


class Network:
    """A classifier with what it takes to ask it about slices in Hounsfield units.

    Args:
        model: as it was trained.
        device: where to run.
    """

    def __init__(self, model: TrainedClassifier, device: torch.device | str = "cpu") -> None:
        self.model = model
        self.device = torch.device(device)
        self.network: nn.Module = model.build(self.device)
        self.distances = ReferenceDistances(model.reference)

    @cached_property
    def grad_cam(self) -> Any:
        """MONAI's Grad-CAM of the last stage, at the size of the inputs; made once, since it leaves hooks."""
        from monai.visualize import GradCAM

        # MONAI's own scaling would turn the map upside down, and stretch the rounding of a constant map to 0 .. 1.
        return GradCAM(nn_module=self.network, target_layers="layer4", postprocessing=nn.Identity())

    def inputs(self, images: Sequence[Tensor]) -> Tensor:
        """Images (1, H, W) in [0, 1] as the network takes them, on its device."""
        settings = self.model.settings
        return network_inputs(images, settings["image_size"], settings["in_channels"]).to(self.device)

    def answer(self, slices: Sequence[DicomSlice], images: Sequence[Tensor]) -> list[SliceAnswer]:
        """Probabilities and distances of a batch of windowed slices."""
        with torch.no_grad(), watched_features(self.network) as seen:
            probabilities = self.network(self.inputs(images)).softmax(dim=1).cpu().numpy()
        features, grays = self.distances.of_features(seen[0]), self.distances.of_images(images)
        return [
            SliceAnswer(dicom_slice, tuple(float(p) for p in row), feature, gray)
            for dicom_slice, row, feature, gray in zip(slices, probabilities, features, grays, strict=True)
        ]


def windowed(hounsfield: np.ndarray, window_hu: Sequence[float]) -> Tensor:
    """Hounsfield units (H, W) as the network takes them: (1, H, W) in [0, 1]."""
    low, high = min(window_hu), max(window_hu)
    return ((torch.from_numpy(np.ascontiguousarray(hounsfield, dtype=np.float32)) - low) / (high - low)).clamp(0, 1)[
        None
    ]


def answer_folder(
    model: TrainedClassifier,
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answer every CT series below a folder; the source is only read.

    Args:
        model: a trained classifier.
        source: folder with DICOM files and whatever else lies there.
        device: where to run.
        progress: called with the number of slices that are done, and of all.

    Returns:
        Answers, and what became of every file.

    Raises:
        DatasetError: the folder cannot be listed, or has no series that can be answered.
    """
    network = Network(model, device)

    def answer(series: DicomSeries, refused: dict[Path, FileUse]) -> SeriesAnswer | None:
        slices: list[SliceAnswer] = []
        clipped: list[float] = []
        for batch in batches(series, model.settings["window_hu"], refused):
            slices += network.answer([dicom_slice for dicom_slice, _, _ in batch], [image for _, image, _ in batch])
            clipped += [share for _, _, share in batch]
        return _answer_series(model, series, slices, float(np.mean(clipped))) if slices else None

    answered, files = answer_each_series(source, answer, progress)
    return Answers(model.about(classes=model.class_names), _rules(model), _by_study(answered), files)


def answer_each_series(
    source: str | Path,
    answer: Callable[[DicomSeries, dict[Path, FileUse]], Answered | None],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[Answered, ...], tuple[FileUse, ...]]:
    """Answer every CT series below a folder in turn.

    Args:
        source: folder with DICOM files and whatever else lies there.
        answer: gives the answer of a series, None where none of its slices can be decoded, and puts those that cannot
            into the dictionary that it is handed.
        progress: called with the number of slices that are done, and of all.

    Returns:
        Answers, and what became of every file, by path.

    Raises:
        DatasetError: the folder cannot be listed, or has no series that can be answered.
    """
    index = find_series(source, modalities=(MODALITY,))
    files = _skipped_files(index)
    total, done = sum(len(series.slices) for series in index.series), 0
    answered: list[Answered] = []
    for series in index.series:
        refused: dict[Path, FileUse] = {}
        said = answer(series, refused)
        if said is not None:
            answered.append(said)
        files += _files_of_series(series, refused)
        done += len(series.slices)
        if progress is not None:
            progress(done, total)
    if not answered:
        raise _no_series_error(source, files)
    return tuple(answered), tuple(sorted(files, key=lambda file: file.path))


def _skipped_files(index: SeriesIndex) -> list[FileUse]:
    """What of a folder was passed over, and why."""
    return [
        FileUse(file.path, file.reason.value, _sentence(file.reason.sentence, file.detail)) for file in index.skipped
    ]


def _files_of_series(series: DicomSeries, refused: Mapping[Path, FileUse]) -> list[FileUse]:
    """What became of the files of a series: answered, but for those that could not be decoded."""
    answered = {dicom_slice.path: FileUse(dicom_slice.path, "answered") for dicom_slice in series.slices}
    return list((answered | dict(refused)).values())


def _no_series_error(source: str | Path, files: Sequence[FileUse]) -> DatasetError:
    """What is said of a folder in which nothing can be answered."""
    return DatasetError(
        f"There is no CT series in {source} that can be answered; {len(files)} files were looked at:"
        f" {_counted(files)}. Give a folder with a CT series."
    )


def _sentence(sentence: str, detail: str) -> str:
    return f"{sentence} ({detail})" if detail else sentence


def _counted(files: Sequence[FileUse]) -> str:
    counts: dict[str, int] = defaultdict(int)
    for file in files:
        counts[file.reason or file.outcome] += 1
    return "; ".join(f"{number} because {reason}" for reason, number in counts.items()) or "none"


def _rules(model: TrainedClassifier) -> dict[str, Any]:
    rules: dict[str, Any] = {"study": STUDY_RULE, "interval": "95 %, slices of the series drawn again"}
    if not model.is_binary:
        return {"series": MEAN_RULE, "call": "the class with the highest mean"} | rules
    if model.call_threshold is None:
        return {"series": SERIES_RULE, "call": "none: no threshold was chosen on validation"} | rules
    call = f"from a probability of {model.call_threshold:g} on, {model.call_threshold_of}"
    return {"series": SERIES_RULE, "call": call, "validated": model.series_rule} | rules


def batches(
    series: DicomSeries, window_hu: Sequence[float], refused: dict[Path, FileUse]
) -> Iterator[list[tuple[DicomSlice, Tensor, float]]]:
    """Slices with their windowed images and the share of the body that is clipped; ``refused`` takes what fails."""
    reader, batch = SliceReader(), []
    for dicom_slice in series.slices:
        try:
            hounsfield = reader.hounsfield(dicom_slice)
        except DicomSeriesError as error:
            refused[dicom_slice.path] = FileUse(dicom_slice.path, "undecodable", str(error))
            continue
        image = windowed(hounsfield, window_hu)
        body = hounsfield > AIR_HU
        clipped = ((image[0].numpy() <= 0) | (image[0].numpy() >= 1))[body]
        batch.append((dicom_slice, image, float(clipped.mean()) if clipped.size else 1.0))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _answer_series(
    model: TrainedClassifier, series: DicomSeries, slices: list[SliceAnswer], clipped: float
) -> SeriesAnswer:
    probabilities = np.array([answer.probabilities for answer in slices])
    chosen = model.positive if model.is_binary else int(probabilities.mean(axis=0).argmax())
    column = probabilities[:, chosen]
    rule = highest_tenth if model.is_binary else _mean
    probability = rule(column)
    low, high = resampled_interval(column.tolist(), rule)
    reference = model.reference
    trained = {"body_parts": model.body_parts, "slice_thickness_mm": (reference or {}).get("slice_thickness_mm")}
    return SeriesAnswer(
        series=series,
        slices=tuple(slices),
        probability=probability,
        low=low,
        high=high,
        call=_call(model, chosen, probability),
        warnings=warnings_of(series, slices, trained=trained, reference=reference, clipped=clipped),
        strongest=int(column.argmax()),
    )


def _mean(probabilities: np.ndarray) -> float:
    return float(probabilities.mean())


def _call(model: TrainedClassifier, chosen: int, probability: float) -> str | None:
    if not model.is_binary:
        return model.class_names[chosen]
    if model.call_threshold is None:
        return None
    return model.class_names[chosen if probability >= model.call_threshold else 1 - chosen]


def _by_study(answered: Sequence[SeriesAnswer]) -> tuple[StudyAnswer, ...]:
    studies: dict[str, list[SeriesAnswer]] = defaultdict(list)
    for answer in answered:
        studies[answer.study_uid].append(answer)
    return tuple(StudyAnswer(uid, tuple(series)) for uid, series in studies.items())
