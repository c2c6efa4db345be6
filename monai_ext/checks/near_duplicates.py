"""Finds pictures that are nearly the same: copies, other crops of one figure, neighbouring slices of one patient."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from monai_ext.checks.phase_correlation import correlations, detail_spectrum, rescaled
from monai_ext.checks.picture_framing import FRAMINGS, framed

__all__ = ["NearDuplicate", "find_near_duplicates"]

_SCREENED, _COMPARED = 64, 96
_SCREEN_COARSE, _PHASE_COARSE, _DETAIL_COARSE = 3.0, 4.0, 2.5
_SCALES = (0.9, 0.94, 0.97, 1.0, 1.03, 1.065, 1.11)
_CANDIDATES = 5
_KEPT = 2048


@dataclass(frozen=True)
class NearDuplicate:
    """Two pictures by number, the first being the lower.

    Attributes:
        first: number of a picture.
        second: number of the other one.
        phase_peak: height of the peak of their phase correlation, up to 1 for the same picture.
        similarity: normalised correlation of their detail when they are aligned, up to 1.
    """

    first: int
    second: int
    phase_peak: float
    similarity: float


def find_near_duplicates(
    pictures: Sequence[Callable[[], np.ndarray]],
    *,
    least_peak: float = 0.2,
    least_similarity: float = 0.4,
    apart: Sequence[Hashable] | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> list[NearDuplicate]:
    """Compare every picture with every other one.

    First all pairs are screened at 64 x 64 pixels, by the largest correlation of their detail over all shifts. Then
    each picture is compared at 96 x 96 pixels and seven sizes with the five that are most like it in each framing. A
    pair is reported when the peak of the phase correlation is high enough and, aligned by it, their detail correlates.

    ``docs/own_data.md`` tells how that agrees with lists made by matching of SIFT features.

    Args:
        pictures: each gives (H, W) in [0, 1]; called once.
        least_peak: of the phase correlation. Lower values find pairs that are less alike, and more that are not.
        least_similarity: of the detail.
        apart: only pairs that differ in this (the patient) are looked for; None for all.
        progress: is called with the number of pictures that were worked on, three times for each in all.

    Returns:
        Pairs, the most alike first.

    Raises:
        ValueError: a limit is not within (0, 1), or lengths do not fit.
    """
    if not (0 < least_peak < 1 and 0 < least_similarity < 1) or (apart is not None and len(apart) != len(pictures)):
        raise ValueError(
            "Near duplicates are looked for with limits between 0 and 1, and one group a picture where groups are"
            f" given; received {least_peak}, {least_similarity}, {len(pictures)} pictures and"
            f" {'no' if apart is None else len(apart)} groups."
        )
    framings = np.zeros((len(pictures), len(FRAMINGS), _COMPARED, _COMPARED), dtype=np.float16)
    for number, read in enumerate(pictures):
        framings[number] = framed(read(), side=_COMPARED)
        progress(1)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(apart or ()))}
    codes = np.arange(len(pictures)) if apart is None else np.array([numbers[group] for group in apart])
    candidates = _screen(framings, codes, progress)
    found = [pair for pair in _compare(framings, candidates, progress) if pair.phase_peak >= least_peak]
    return sorted((pair for pair in found if pair.similarity >= least_similarity), key=lambda pair: -pair.phase_peak)


def _screen(framings: np.ndarray, codes: np.ndarray, progress: Callable[[int], object]) -> list[set[int]]:
    """Of every picture, those with a higher number that are among the most alike, of another code."""
    count = len(framings)
    spectra = np.zeros((len(FRAMINGS), count, _SCREENED, _SCREENED // 2 + 1), dtype=np.complex64)
    for number, pair in enumerate(framings):
        small = np.stack([_reduced(picture) for picture in pair])
        spectra[:, number] = detail_spectrum(small, coarse=_SCREEN_COARSE)
    best = np.full((len(FRAMINGS), count, count), -1, dtype=np.float16)
    for number in range(count):
        for framing, of_framing in enumerate(spectra):
            for start in range(number + 1, count, _KEPT):
                part = slice(start, start + _KEPT)
                highest = correlations(of_framing[number], of_framing[part]).max(axis=(1, 2))
                best[framing, number, part] = best[framing, part, number] = highest
        progress(1)
    chosen: list[set[int]] = [set() for _ in range(count)]
    for peaks in best:
        for number, row in enumerate(peaks):
            alike = np.where(codes == codes[number], -1, row)
            for other in np.argsort(-alike, kind="stable")[:_CANDIDATES].tolist():
                if alike[other] > 0:
                    chosen[min(number, other)].add(max(number, other))
    return chosen


def _compare(
    framings: np.ndarray, candidates: Sequence[set[int]], progress: Callable[[int], object]
) -> Iterator[NearDuplicate]:
    @lru_cache(maxsize=_KEPT)
    def spectra(number: int) -> tuple[np.ndarray, np.ndarray]:
        return _both_spectra(framings[number])

    for number, others in enumerate(candidates):
        found = dict.fromkeys(sorted(others), (-1.0, -1.0))
        for scale in _SCALES if others else ():
            whitened, detail = _both_spectra(np.stack([rescaled(picture, scale) for picture in framings[number]]))
            for other in found:
                found[other] = max(found[other], _alike(whitened, detail, *spectra(other)))
        for other, (peak, similarity) in found.items():
            yield NearDuplicate(number, other, phase_peak=peak, similarity=similarity)
        progress(1)


def _both_spectra(pair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return detail_spectrum(pair, coarse=_PHASE_COARSE, whiten=True), detail_spectrum(pair, coarse=_DETAIL_COARSE)


def _alike(
    whitened: np.ndarray, detail: np.ndarray, other_whitened: np.ndarray, other_detail: np.ndarray
) -> tuple[float, float]:
    """The highest peak in any framing, and the correlation of the detail at that shift."""
    phase = correlations(whitened, other_whitened).reshape(len(FRAMINGS), -1)
    aligned = correlations(detail, other_detail).reshape(len(FRAMINGS), -1)
    place = np.unravel_index(phase.argmax(), phase.shape)
    return float(phase[place]), float(aligned[place])


def _reduced(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture.astype(np.float32))
    return np.asarray(image.resize((_SCREENED, _SCREENED), Image.Resampling.BILINEAR))
