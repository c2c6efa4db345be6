"""An answer as a DICOM Structured Report: Comprehensive 3D SR by template TID 1500, with references to the sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from monai_ext.sharing.infer.answers import SeriesAnswer, Warned
from monai_ext.sharing.infer.dicom_file import as_bytes
from monai_ext.sharing.series_rule import MEAN_RULE, SERIES_RULE
from monai_ext.sharing.trained_classifier import TrainedClassifier
from monai_ext.sharing.trained_model import TrainedModel

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["MANUFACTURER", "algorithm_of", "evaluations_of", "own_code", "short", "structured_report", "write_report"]

MANUFACTURER = "monai_ext"
SCHEME = "99MONAIEXT"
LONGEST_MEANING = 64
_REPORTED = ("25045-6", "LN", "CT unspecified body region")


def structured_report(
    answer: SeriesAnswer, model: TrainedClassifier, sources: Sequence[Dataset], *, series_number: int
) -> bytes:
    """Write the answer of a series.

    The measurement group tells the probability with its interval, the call at the validated threshold, the warnings,
    and the algorithm; it refers to the slices that decided. All slices of the series are evidence.

    Args:
        answer: of the series.
        model: that gave it.
        sources: elements of the series' files, without pixels, each file once.
        series_number: of the new series.
    """
    return write_report([_group(answer, model, sources)], model, sources, series_number=series_number)


def write_report(
    groups: Sequence[Any], model: TrainedModel, sources: Sequence[Dataset], *, series_number: int
) -> bytes:
    """A report of measurement groups, with the model as its observer and all sources as evidence."""
    from highdicom import UID
    from highdicom.sr import Comprehensive3DSR, MeasurementReport, ObservationContext

    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_device(model)),
        procedure_reported=_code(*_REPORTED),
        imaging_measurements=list(groups),
    )
    report = Comprehensive3DSR(
        evidence=list(sources),
        content=content[0],
        series_instance_uid=UID(),
        series_number=series_number,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description=short(f"Answer of {model.name}, research use only"),
    )
    return as_bytes(report)


def _code(value: str, scheme: str, meaning: str) -> Any:
    from highdicom.sr import CodedConcept

    return CodedConcept(value=value, scheme_designator=scheme, meaning=short(meaning))


def own_code(value: str, meaning: str) -> Any:
    """A code of this project's own scheme, for what no public one names."""
    return _code(value, SCHEME, meaning)


def short(text: str) -> str:
    """Text as long as a DICOM long string may be."""
    return text if len(text) <= LONGEST_MEANING else text[: LONGEST_MEANING - 3] + "..."


def _device(model: TrainedModel) -> Any:
    from highdicom import UID
    from highdicom.sr import DeviceObserverIdentifyingAttributes, ObserverContext
    from pydicom.sr.codedict import codes

    attributes = DeviceObserverIdentifyingAttributes(uid=UID(), name=short(model.name), manufacturer_name=MANUFACTURER)
    return ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=attributes)


def _group(answer: SeriesAnswer, model: TrainedClassifier, sources: Sequence[Dataset]) -> Any:
    from highdicom.sr import MeasurementsAndQualitativeEvaluations, TrackingIdentifier
    from pydicom.sr.codedict import codes

    rule = SERIES_RULE if model.is_binary else MEAN_RULE
    parameters = [f"series rule: {rule}"]
    if model.is_binary and model.call_threshold is not None:
        parameters.append(f"threshold {model.call_threshold:g}, {model.call_threshold_of}")
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(identifier="series answer"),
        finding_type=own_code("class", _finding(answer, model)),
        finding_category=codes.SCT.MorphologicallyAbnormalStructure if model.is_binary else None,
        algorithm_id=algorithm_of(model, parameters),
        measurements=_measurements(answer),
        qualitative_evaluations=evaluations_of(answer.warnings, call=_call(answer)),
        source_images=_deciding_images(answer, sources),
    )


def _finding(answer: SeriesAnswer, model: TrainedClassifier) -> str:
    return model.class_names[model.positive] if model.is_binary else str(answer.call)


def _measurements(answer: SeriesAnswer) -> list[Any]:
    from highdicom.sr import Measurement
    from pydicom.sr.codedict import codes

    values = {
        ("probability", "Probability of the finding"): answer.probability,
        ("probability_low", "Probability, lower end of its 95 % interval"): answer.low,
        ("probability_high", "Probability, upper end of its 95 % interval"): answer.high,
    }
    return [
        Measurement(name=own_code(*name), value=round(value, 6), unit=codes.UCUM.NoUnits)
        for name, value in values.items()
    ]


def algorithm_of(model: TrainedModel, parameters: Sequence[str]) -> Any:
    """The model with its version, the digest of its weights, and how it was used."""
    from highdicom.sr import AlgorithmIdentification

    settings = [f"weights SHA-256 {model.sha256}", *parameters]
    return AlgorithmIdentification(name=short(model.name), version=model.version, parameters=settings)


def _call(answer: SeriesAnswer) -> str:
    return answer.call if answer.call is not None else "no threshold was chosen on validation"


def evaluations_of(warnings: Sequence[Warned], *, call: str | None = None) -> list[Any]:
    """The call where there is one, each warning, and what the answer is meant for."""
    from highdicom.sr import QualitativeEvaluation

    evaluations = [] if call is None else [("call", "Class called at the validated threshold", "called", call)]
    evaluations += [("warning", "Warning", warning.code, warning.code.replace("_", " ")) for warning in warnings]
    evaluations.append(("intended_use", "Intended use", "research", "Research use only, not for diagnosis"))
    return [QualitativeEvaluation(name=own_code(a, b), value=own_code(c, d)) for a, b, c, d in evaluations]


def _deciding_images(answer: SeriesAnswer, sources: Sequence[Dataset]) -> list[Any]:
    """The highest tenth of the slices, the highest first."""
    from highdicom.sr import SourceImageForMeasurementGroup

    by_uid = {str(source.SOPInstanceUID): source for source in sources}
    position = answer.slices[answer.strongest].probabilities
    chosen = max(range(len(position)), key=lambda number: position[number])
    ordered = sorted(answer.slices, key=lambda answered: -answered.probabilities[chosen])
    deciding = ordered[: max(1, round(len(ordered) / 10))]
    frames: dict[str, list[int]] = {}
    for answered in deciding:
        frames.setdefault(answered.slice.instance_uid.decode("ascii"), []).append(answered.slice.frame + 1)
    return [
        SourceImageForMeasurementGroup(
            referenced_sop_class_uid=by_uid[uid].SOPClassUID,
            referenced_sop_instance_uid=uid,
            referenced_frame_numbers=sorted(numbers) if "NumberOfFrames" in by_uid[uid] else None,
        )
        for uid, numbers in frames.items()
    ]
