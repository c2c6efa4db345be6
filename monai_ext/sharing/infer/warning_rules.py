"""When an answer is doubtful: another body part, images unlike the training's, thick or missing slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_ext.data.dicom.series import DicomSeries
from monai_ext.sharing.infer.answers import SliceAnswer, Warned

__all__ = ["BODY_PARTS", "warnings_of"]

THICKEST_MM = 10.0
TOLERANCE = 0.1
"""Relative, of a thickness; and as a share, of the slices that may have another one."""
FEWEST_SLICES = 3
MOST_CLIPPED = 0.9
BODY_PARTS = {
    "CHEST": {"CHEST", "LUNG", "THORAX", "LUNGS", "CHESTABDPELVIS", "CHESTABDOMEN", "CHST", "HRCT"},
    "HEAD": {"HEAD", "BRAIN", "SKULL", "HEADNECK", "NEURO", "CRANIUM", "CEREBRUM"},
    "ABDOMEN": {"ABDOMEN", "ABDOMENPELVIS", "PELVIS", "LIVER", "ABD", "CHESTABDPELVIS", "CHESTABDOMEN", "KIDNEY"},
}
"""What scanners write in BodyPartExamined (0018,0015) for what a model was trained on."""


def warnings_of(
    series: DicomSeries,
    slices: Sequence[SliceAnswer],
    *,
    trained: Mapping[str, Any],
    reference: Mapping[str, Any] | None,
    clipped: float,
) -> tuple[Warned, ...]:
    """Everything that speaks against an answer.

    Args:
        series: as it was found.
        slices: their answers, with distances in parts of the thresholds.
        trained: ``body_parts`` and ``slice_thickness_mm`` of the training, as far as known.
        reference: statistics of the training images; None where the model has none.
        clipped: share of the body's pixels that are black or white in the model's window.
    """
    found = [_body_part(series, trained), _thickness(series, trained)]
    if reference is None:
        text = "The model came without statistics of its training images: images unlike them are not recognised."
        found.append(Warned("no_reference", text))
    else:
        compared = {"features": "the network's features", "gray_values": "gray values"}
        found += [_unlike(name, what, slices, reference[name]) for name, what in compared.items()]
    if clipped > MOST_CLIPPED:
        text = f"{100 * clipped:.0f} % of the body is black or white in the model's window: it sees next to nothing."
        found.append(Warned("outside_window", text))
    if len(slices) < FEWEST_SLICES:
        found.append(Warned("few_slices", f"The series has {len(slices)} slices; one may show nothing that matters."))
    found += [Warned(finding.kind, f"{_capital(finding.text)}.") for finding in series.findings]
    return tuple(warning for warning in found if warning is not None)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _body_part(series: DicomSeries, trained: Mapping[str, Any]) -> Warned | None:
    parts = list(trained.get("body_parts") or [])
    if not parts:
        return Warned("body_part_of_training", "The model does not say which body part it was trained on.")
    if not series.body_part:
        return Warned("body_part_unknown", "The series does not say its body part, BodyPartExamined (0018,0015).")
    accepted = set().union(*(BODY_PARTS.get(part, {part}) for part in parts))
    here = "".join(letter for letter in series.body_part.upper() if letter.isalpha())
    if here in accepted:
        return None
    return Warned("other_body_part", f"The series says {here[:20]}, and the model was trained on {', '.join(parts)}.")


def _thickness(series: DicomSeries, trained: Mapping[str, Any]) -> Warned | None:
    thicknesses = [image.slice_thickness_mm for image in series.slices if image.slice_thickness_mm is not None]
    if not thicknesses:
        return Warned("thickness_unknown", "The series does not say its SliceThickness (0018,0050).")
    span = trained.get("slice_thickness_mm")
    low, high = span if span else (0.0, THICKEST_MM)
    other = [thickness for thickness in thicknesses if not low * (1 - TOLERANCE) <= thickness <= high * (1 + TOLERANCE)]
    if len(other) <= len(thicknesses) * TOLERANCE:
        return None
    here = " to ".join(f"{thickness:g}" for thickness in sorted({min(other), max(other)}))
    trained_on = f"{low:g} mm" if low == high else f"{low:g} to {high:g} mm"
    known = f"the training had {trained_on}" if span else "which is more than CT is usually read in"
    return Warned("slice_thickness", f"{len(other)} of {len(series.slices)} slices are {here} mm thick; {known}.")


def _unlike(name: str, what: str, slices: Sequence[SliceAnswer], reference: Mapping[str, Any]) -> Warned | None:
    """More than half of the slices lie beyond the distance that a hundredth of the training images exceeds."""
    distances = [answered.feature_distance if name == "features" else answered.gray_distance for answered in slices]
    beyond = float(np.mean([distance is not None and distance > 1 for distance in distances]))
    if beyond <= 0.5:
        return None
    alarms = float(reference["false_alarms"])
    text = (
        f"{100 * beyond:.0f} % of the slices are unlike the training images by {what}; of {reference['judged_on']}"
        f" held-out training images {100 * alarms:.1f} % are."
    )
    return Warned(f"unlike_training_{name}", text, alarms)
