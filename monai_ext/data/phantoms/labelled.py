"""The embedded labelled sample: phantoms with classes for every classification bundle, as DICOM and as a slice store.

Each set is written as DICOM files, read back from them as any CT is, and put into a slice store with labels and
patients, so that windows are those of Hounsfield units and splits are made by patient.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_ext.data.phantoms.abdomen import Abdomen
from monai_ext.data.phantoms.acquisition import KERNELS, acquire
from monai_ext.data.phantoms.findings import HeadWithFindings, ThoraxWithFindings
from monai_ext.data.phantoms.kept import kept_sample
from monai_ext.data.phantoms.pelvis import Pelvis
from monai_ext.data.phantoms.series import PhantomSeries
from monai_ext.data.phantoms.shapes import Plane
from monai_ext.data.phantoms.thorax import Thorax
from monai_ext.errors import DatasetError

__all__ = ["LABELLED_SETS", "embedded_labelled_sample"]

logger = logging.getLogger(__name__)

SAMPLE_NAME = "labelled_phantoms-v2"
"""Name of the samples' folders; its version is raised whenever the same seeds give other pixels."""

_SIZE, _CROP = 128, 64
_PATIENTS = 100
"""Chests, and heads."""
_ORGANS = ("bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver")
ORGAN_NAMES = (*_ORGANS, "lung-left", "lung-right", "pancreas", "spleen")


@dataclass(frozen=True)
class _LabelledSeries:
    """A short series of one patient in which all slices have one class."""

    series: PhantomSeries
    patient: int
    label: str


@dataclass(frozen=True)
class LabelledSet:
    """One set of labelled phantoms.

    Attributes:
        name: of its folder.
        labels: its classes.
        make: gives its series.
    """

    name: str
    labels: tuple[str, ...]
    make: Callable[[], Iterator[_LabelledSeries]]


def embedded_labelled_sample(labels: Collection[str], cache: str | Path | None = None) -> Path:
    """The slice store of the phantoms with these labels; it is made when it is not there or not intact.

    Args:
        labels: of a bundle's classes.
        cache: where to keep it, see :func:`~monai_ext.data.phantoms.kept.kept_sample`.

    Raises:
        DatasetError: there are no phantoms with these labels, or the cache folder cannot be written.
    """
    found = next((labelled_set for labelled_set in LABELLED_SETS if set(labelled_set.labels) == set(labels)), None)
    if found is None:
        known = "; ".join(", ".join(labelled_set.labels) for labelled_set in LABELLED_SETS)
        raise DatasetError(
            f"There are no phantoms with the labels {', '.join(labels)}; there are some with {known}. Give labelled"
            " images with --dataset_dir."
        )
    description = f"the embedded labelled sample ({found.name}, phantom CT)"
    return (
        kept_sample(
            f"{SAMPLE_NAME}-{found.name}", lambda folder: _write(found, folder), description=description, cache=cache
        )
        / "store"
    )


def _write(chosen: LabelledSet, folder: Path) -> None:
    """DICOM files first; the store is made of what is read back from them."""
    from monai_ext.data.dicom.intensity import SliceReader
    from monai_ext.data.dicom.series import find_series
    from monai_ext.data.phantoms.dicom import write_dicom_series
    from monai_ext.data.store.writer import SliceStoreWriter

    labels: dict[str, tuple[str, str]] = {}
    for number, phantom in enumerate(chosen.make(), start=1):
        name = f"series_{number:04d}"
        write_dicom_series(phantom.series, folder / "dicom" / name, number=phantom.patient, series_number=number)
        labels[name] = (_code("patient", chosen.name, phantom.patient), phantom.label)
    reader = SliceReader()
    with SliceStoreWriter.open(folder / "store", source_kind="ct") as writer:
        for series in find_series(folder / "dicom").series:
            patient, label = labels[series.slices[0].path.parent.name]
            pixels = np.stack([np.rint(reader.hounsfield(member)) for member in series.slices]).astype(np.int16)
            row = {"patient_id": patient, "label": label, "source_format": "phantom"}
            key = _code("series", chosen.name, series.slices[0].path.parent.name)
            writer.add_series(key, pixels, [row] * len(pixels), {"phantom": 1})


def _code(*parts: object) -> str:
    """An id that is the same everywhere: phantoms have no identity to hide."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def _scan(
    patient: Thorax | HeadWithFindings | Abdomen | Pelvis,
    rng: np.random.Generator,
    *,
    region: str,
    positions: list[float],
    kernel: str,
    side_mm: float,
    size: int,
    center_mm: tuple[float, float],
    dose: float,
) -> PhantomSeries:
    """Slices of a patient at these positions, ascending by at least a millimetre."""
    places = sorted(dict.fromkeys(round(position) for position in positions))
    slices = []
    for place in places:
        plane = Plane(float(place), size=size, pixel_mm=side_mm / size, center_mm=center_mm)
        patient.draw(plane)
        slices.append(acquire(plane.hu, KERNELS[kernel], rng, dose=dose))
    spacing = float(places[1] - places[0]) if len(places) > 1 else 5.0
    return PhantomSeries(
        np.stack(slices), region, kernel, side_mm / size, tuple(map(float, places)), spacing, center_mm
    )


def _lungs() -> Iterator[_LabelledSeries]:
    """A hundred chests, half with ground glass and half with solid lesions, two slices each."""
    for number in range(_PATIENTS):
        rng = np.random.default_rng([number, 71])
        label = ("NonCOVID", "COVID")[number % 2]
        patient = ThoraxWithFindings(rng, has_ground_glass=label == "COVID")
        yield _LabelledSeries(_around_findings(patient, rng, "thorax", ("SOFT", "STANDARD", "LUNG")), number + 1, label)


def _heads() -> Iterator[_LabelledSeries]:
    """A hundred heads, half with bleeds and half with bright vessels, two slices each."""
    for number in range(_PATIENTS):
        rng = np.random.default_rng([number, 72])
        label = ("0", "1")[number % 2]
        patient = HeadWithFindings(rng, has_bleed=label == "1")
        yield _LabelledSeries(_around_findings(patient, rng, "head", ("SOFT", "STANDARD")), number + 1, label)


def _around_findings(
    patient: ThoraxWithFindings | HeadWithFindings, rng: np.random.Generator, region: str, kernels: tuple[str, ...]
) -> PhantomSeries:
    low, high = patient.z_range_mm
    positions = [float(np.clip(patient.seen_mm + shift + rng.uniform(-1.5, 1.5), low, high)) for shift in (-2.5, 2.5)]
    return _scan(
        patient,
        rng,
        region=region,
        positions=positions,
        kernel=str(rng.choice(kernels)),
        side_mm=patient.field_of_view_mm,
        size=_SIZE,
        center_mm=(float(rng.uniform(-8, 8)), float(rng.uniform(-6, 10))),
        dose=float(rng.uniform(5, 9) if region == "head" else rng.uniform(0.8, 2.5)),
    )


def _organs() -> Iterator[_LabelledSeries]:
    """Pictures around eleven organs, two of each, of 16 chests, 16 abdomens and 16 pelvises."""
    number = 0
    for seed in range(16):
        for region, patient_of in (("thorax", Thorax), ("abdomen", Abdomen), ("pelvis", Pelvis)):
            number += 1
            rng = np.random.default_rng([seed, 73, len(region)])
            patient = patient_of(rng)
            for name, center in _organ_centers(patient).items():
                yield _LabelledSeries(_around_organ(patient, rng, region, center), number, str(ORGAN_NAMES.index(name)))


def _around_organ(
    patient: Thorax | Abdomen | Pelvis, rng: np.random.Generator, region: str, center: tuple[float, float, float]
) -> PhantomSeries:
    middle = center[2] + rng.uniform(-12, 12)
    return _scan(
        patient,
        rng,
        region=region,
        positions=[middle, middle + rng.uniform(4, 9)],
        kernel=str(rng.choice(("SOFT", "STANDARD"))),
        side_mm=float(rng.uniform(95, 150)),
        size=_CROP,
        center_mm=(float(center[0] + rng.uniform(-14, 14)), float(center[1] + rng.uniform(-14, 14))),
        dose=float(rng.uniform(0.9, 2.5)),
    )


def _organ_centers(patient: Thorax | Abdomen | Pelvis) -> dict[str, tuple[float, float, float]]:
    """Middles of a patient's organs in mm; x points to the patient's left."""
    if isinstance(patient, Pelvis):
        x, y, z = patient.femur_mm
        return {"bladder": patient.bladder_mm, "femur-left": (x, y, z), "femur-right": (-x, y, z)}
    width = patient.half_width_mm
    if isinstance(patient, Abdomen):
        right, left = patient.kidneys_z_mm
        return {
            "kidney-left": (66.0, 36.0, left),
            "kidney-right": (-66.0, 36.0, right),
            "liver": (-0.42 * width, -4.0, 40.0),
            "pancreas": (18.0, -8.0, 12.0),
            "spleen": (0.74 * width, 26.0, 42.0),
        }
    return {
        "heart": (16.0, -22.0, -52.0),
        "lung-left": (0.55 * width, 2.0, 15.0),
        "lung-right": (-0.55 * width, 2.0, 15.0),
    }


LABELLED_SETS = (
    LabelledSet("lungs", ("NonCOVID", "COVID"), _lungs),
    LabelledSet("heads", ("0", "1"), _heads),
    LabelledSet("organs", tuple(str(number) for number in range(len(ORGAN_NAMES))), _organs),
)
"""Sets by their labels: those of COVID-19, of haemorrhage and of OrganSMNIST."""
