"""Masks as a DICOM Segmentation with the sources' geometry, and a report of their volumes that refers to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from monai_ext.data.dicom.intensity import SliceReader
from monai_ext.errors import DatasetError
from monai_ext.sharing.infer.answering import windowed
from monai_ext.sharing.infer.page import compose_page, text_lines
from monai_ext.sharing.infer.segmenting import SegmentedSeries
from monai_ext.sharing.infer.structured_report import (
    MANUFACTURER,
    algorithm_of,
    evaluations_of,
    own_code,
    short,
    write_report,
)
from monai_ext.sharing.trained_segmenter import TrainedSegmenter

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["draw_segmented_page", "segmentation_object", "volume_report"]

_COLOURS = ((255, 176, 60), (80, 190, 255), (150, 230, 110), (240, 110, 160), (190, 150, 255), (250, 240, 110))


def segmentation_object(
    answer: SegmentedSeries, model: TrainedSegmenter, sources: Sequence[Dataset], *, series_number: int
) -> Dataset:
    """The mask of a series as a binary DICOM Segmentation: a segment a label, a frame a slice, empty ones too.

    Args:
        answer: of the series.
        model: that marked it.
        sources: elements of the series' files, without pixels, each once, in order of position.
        series_number: of the new series.

    Raises:
        DatasetError: a series in several multi-frame files, whose frames are in no one order.
    """
    from highdicom import UID
    from highdicom.seg import Segmentation

    return Segmentation(
        source_images=list(sources),
        pixel_array=_frames(answer, sources),
        segmentation_type="BINARY",
        segment_descriptions=[_segment(number, name, model) for number, name in model.labels.items()],
        series_instance_uid=UID(),
        series_number=series_number,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=short(model.name),
        software_versions=model.version,
        device_serial_number=model.sha256[:12],
        omit_empty_frames=False,
        content_label="RESEARCH",
        content_description=short(f"Marked by {model.name}, research use only"),
        series_description=short(f"Marked by {model.name}, research use only"),
    )


def _frames(answer: SegmentedSeries, sources: Sequence[Dataset]) -> np.ndarray:
    """The mask with a frame for each of the sources' frames; those that were not answered are empty."""
    if "NumberOfFrames" not in sources[0]:
        return answer.mask
    if len(sources) > 1:
        raise DatasetError("it lies in several multi-frame files")
    frames = np.zeros((int(sources[0].NumberOfFrames), *answer.mask.shape[1:]), np.uint8)
    for dicom_slice, mask in zip(answer.slices, answer.mask, strict=True):
        frames[dicom_slice.frame] = mask
    return frames


def _segment(number: int, name: str, model: TrainedSegmenter) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    return SegmentDescription(
        segment_number=number,
        segment_label=short(name),
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=_property(name, model),
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=short(model.name), family=codes.DCM.ArtificialIntelligence, version=model.version
        ),
    )


def _property(name: str, model: TrainedSegmenter) -> Any:
    from highdicom.sr import CodedConcept

    if name not in model.codes:
        return own_code("label", name)
    value, scheme, meaning = model.codes[name]
    return CodedConcept(value=value, scheme_designator=scheme, meaning=short(meaning))


def volume_report(
    answer: SegmentedSeries,
    model: TrainedSegmenter,
    sources: Sequence[Dataset],
    segmentation: Dataset,
    *,
    series_number: int,
) -> bytes:
    """Volumes as a Structured Report by template TID 1500: a measurement group for each segment, which it refers to."""
    groups = [_volume_group(number, name, answer, model, segmentation) for number, name in model.labels.items()]
    return write_report(groups, model, [*sources, segmentation], series_number=series_number)


def _volume_group(
    number: int, name: str, answer: SegmentedSeries, model: TrainedSegmenter, segmentation: Dataset
) -> Any:
    from highdicom.sr import (
        CodedConcept,
        Measurement,
        ReferencedSegment,
        SourceSeriesForSegmentation,
        TrackingIdentifier,
        VolumetricROIMeasurementsAndQualitativeEvaluations,
    )
    from pydicom.sr.codedict import codes

    volume = answer.volumes_ml[number]
    measured = (
        []
        if volume is None
        else [Measurement(codes.SCT.Volume, round(volume, 6), unit=CodedConcept("mL", "UCUM", "milliliter"))]
    )
    called = "likeliest label" if model.threshold is None else f"threshold {model.threshold:g}"
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(identifier=short(name)),
        referenced_segment=ReferencedSegment(  # from_segmentation() fails where there is one segment alone
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=number,
            source_series=SourceSeriesForSegmentation(answer.series_uid),
        ),
        finding_type=_property(name, model),
        algorithm_id=algorithm_of(model, [called]),
        measurements=measured,
        qualitative_evaluations=evaluations_of(answer.warnings),
    )


def draw_segmented_page(answer: SegmentedSeries, model: TrainedSegmenter) -> np.ndarray:
    """The slice with the most marked pixels, beside it the same with outlines, and the volumes: uint8 (H, W, 3)."""
    shown = answer.slices[answer.fullest]
    image = windowed(SliceReader().hounsfield(shown), model.settings["window_hu"])
    gray = (image[0].numpy() * 255).round().astype(np.uint8)
    sentences = [f"{model.name} {model.version}, weights {model.sha256[:12]}"]
    for number, name in model.labels.items():
        volume = answer.volumes_ml[number]
        share = "its volume is not known" if volume is None else f"{volume:.1f} ml"
        sentences.append(f"{name}: {share}, marked in {answer.marked_slices(number)} of {len(answer.slices)} slices")
    sentences.append(f"Shown: slice at {shown.position_mm:.1f} mm, the one with the most marked; right: the outlines")
    return compose_page(gray, _outlined(gray, answer.mask[answer.fullest]), text_lines(sentences, answer.warnings))


def _outlined(gray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    from scipy.ndimage import binary_erosion

    picture = np.repeat(gray[..., None], 3, axis=2)
    for number in np.unique(mask[mask > 0]):
        marked = mask == number
        picture[marked & ~binary_erosion(marked)] = _COLOURS[(int(number) - 1) % len(_COLOURS)]
    return picture
