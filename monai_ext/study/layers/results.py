"""What was measured of all encoders together, and which differences from untrained weights may be claimed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import torch

from monai_ext.metrics.classification import Estimate
from monai_ext.metrics.effective_rank import effective_rank_of_moment
from monai_ext.metrics.frequency_bands import octave_bands
from monai_ext.metrics.group_jackknife import JackknifeEstimate
from monai_ext.metrics.kernel_alignment import FEWEST_IMAGES, minibatch_cka
from monai_ext.metrics.receptive_field import side_holding
from monai_ext.networks.stage_maps import STAGES, ReceptiveField, receptive_fields
from monai_ext.study.layers.encoders import OpenedEncoder
from monai_ext.study.layers.images import JudgedImages
from monai_ext.study.layers.measuring import Frequencies, LayerMeasures
from monai_ext.study.layers.probing import probe_layers
from monai_ext.study.statistics import Arm, compare, holm
from monai_ext.study.statistics.comparison import LEVEL

__all__ = ["MEASURES", "Difference", "LayerResults", "compare_layers", "high_bands"]

MEASURES = ("auc", "rank", "field_half", "high_share")
"""What encoders are compared by, layer by layer."""
HALF, TWO_DEVIATIONS = 0.5, 0.9545
Key = tuple[str, str]
"""Name of an encoder, and of a layer."""


@dataclass(frozen=True)
class Difference:
    """A number of one encoder minus that of another.

    Attributes:
        measure: one of ``MEASURES``, or ``"similarity"``.
        of, less: keys of both.
        estimate: with its 95 % interval over patients.
        p_holm: two-sided, corrected for all differences of this measure on the page.
    """

    measure: str
    of: Key
    less: Key
    estimate: Estimate
    p_holm: float

    @property
    def may_be_claimed(self) -> bool:
        """Whether the interval excludes 0 and the corrected p is below 5 %."""
        return bool(self.p_holm < LEVEL and (self.estimate.low > 0 or self.estimate.high < 0))


@dataclass(frozen=True)
class LayerResults:
    """Everything that the page says rests on this.

    Attributes:
        encoders, judged: what was measured, on what.
        probes: by key.
        values: by measure and key: rank, map_rank (no interval), field_half, field_most, high_share, high_share_seen;
            ``reaction`` has one number a band.
        similarity: (M, M) of all keys in the order of ``keys``, and (J, M, M) without each block.
        amplitudes: (H, W) by key, of the effective receptive field.
        fields: theoretical ones, by key.
        cut: from which frequency on bands count as high, in cycles per image.
        differences: from each untrained encoder of the same architecture and image size, by measure; of
            ``"similarity"``, between pairs of trained encoders at the deepest layer.
    """

    encoders: Sequence[OpenedEncoder]
    judged: JudgedImages
    probes: Mapping[Key, Arm] = field(repr=False)
    values: Mapping[str, Mapping[Key, JackknifeEstimate]] = field(repr=False)
    reactions: Mapping[Key, list[JackknifeEstimate]] = field(repr=False)
    bands: Mapping[str, tuple[tuple[float, float], ...]]
    similarity: tuple[np.ndarray, np.ndarray] = field(repr=False)
    amplitudes: Mapping[Key, np.ndarray] = field(repr=False)
    fields: Mapping[Key, ReceptiveField] = field(repr=False)
    cut: float
    differences: Mapping[str, list[Difference]] = field(default_factory=dict, repr=False)

    @property
    def keys(self) -> list[Key]:
        """All encoders and their layers."""
        return [(encoder.name, stage) for encoder in self.encoders for stage in STAGES]

    @property
    def trained(self) -> list[OpenedEncoder]:
        """Those with weights of a training."""
        return [encoder for encoder in self.encoders if encoder.trained]

    def estimate(self, measure: str, key: Key) -> Estimate:
        """A number with its interval, ``auc``, ``accuracy`` or one of ``values``."""
        if measure in self.values:
            return self.values[measure][key].estimate
        return self.probes[key].estimate(measure)

    def alike(self, first: Key, second: Key) -> JackknifeEstimate:
        """Similarity of two layers, of one encoder or of two."""
        row, column = (self.keys.index(key) for key in (first, second))
        return JackknifeEstimate(float(self.similarity[0][row, column]), self.similarity[1][:, row, column])

    def references(self, encoder: OpenedEncoder) -> list[OpenedEncoder]:
        """The untrained encoders of the same architecture and input."""
        shape = (encoder.architecture, encoder.channels, encoder.image_size)
        return [o for o in self.encoders if not o.trained and (o.architecture, o.channels, o.image_size) == shape]


def compare_layers(
    encoders: Sequence[OpenedEncoder],
    judged: JudgedImages,
    measured: Sequence[LayerMeasures],
    *,
    cut: float = 16.0,
    progress: Callable[[int], object] = lambda count: None,
) -> LayerResults:
    """Judge what was measured, and compare each trained encoder with the untrained ones of its kind.

    Args:
        encoders: what was measured.
        judged: on these images.
        measured: of each encoder.
        cut: lowest frequency that counts as high, in cycles per image.
        progress: called with 1 after every layer of every encoder.

    Raises:
        ValueError: all bands of an encoder's images lie on one side of ``cut``.
    """
    probes: dict[Key, Arm] = {}
    values: dict[str, dict[Key, JackknifeEstimate]] = {
        name: {} for name in ("rank", "map_rank", "field_half", "field_most", "high_share", "high_share_seen")
    }
    reactions: dict[Key, list[JackknifeEstimate]] = {}
    amplitudes, fields = dict[Key, np.ndarray](), dict[Key, ReceptiveField]()
    for encoder, found in zip(encoders, measured, strict=True):
        is_high = high_bands(encoder, cut=cut)
        theory = receptive_fields(encoder.network)
        probed = probe_layers(found.features, judged, progress=progress)
        for stage in STAGES:
            key = (encoder.name, stage)
            probes[key], fields[key] = probed[stage], theory[stage]
            values["rank"][key] = _without_blocks(_rank(found.features[stage]), judged.blocks)
            values["map_rank"][key] = JackknifeEstimate(found.map_rank[stage], np.full(2, np.nan))
            amplitudes[key] = np.sqrt(found.gradients[stage].sum(axis=0))
            for name, share in (("field_half", HALF), ("field_most", TWO_DEVIATIONS)):
                values[name][key] = _side(found.gradients[stage], theory[stage], share)
            values["high_share"][key] = _high_share(found.frequencies, stage, is_high, seen=False)
            values["high_share_seen"][key] = _high_share(found.frequencies, stage, is_high, seen=True)
            reactions[key] = _reactions(found.frequencies, stage)
    results = LayerResults(
        encoders=encoders,
        judged=judged,
        probes=probes,
        values=values,
        reactions=reactions,
        bands={e.name: found.frequencies.bands for e, found in zip(encoders, measured, strict=True)},
        similarity=_similarities(measured, judged.blocks),
        amplitudes=amplitudes,
        fields=fields,
        cut=cut,
    )
    return LayerResults(**(vars(results) | {"differences": _differences(results)}))


def high_bands(encoder: OpenedEncoder, *, cut: float) -> np.ndarray:
    """(bands,) boolean: which of an encoder's bands begin at the cut or above it.

    Raises:
        ValueError: none or all of them do.
    """
    bands = octave_bands(encoder.image_size)
    is_high = np.array([low >= cut for low, _ in bands])
    if is_high.all() or not is_high.any():
        raise ValueError(
            f"Frequencies from {cut:g} cycles per image on were to count as high, but images of"
            f" {encoder.image_size} pixels have the bands {', '.join(f'{low:g} to {high:g}' for low, high in bands)}."
            f" Choose a cut from {bands[1][0]:g} to {bands[-1][0]:g}."
        )
    return is_high


def _without_blocks(compute: Callable[[np.ndarray], float], blocks: np.ndarray) -> JackknifeEstimate:
    """A number of all images (given which of them count), and without each block."""
    without = [compute(blocks != block) for block in range(int(blocks.max()) + 1)]
    return JackknifeEstimate(compute(np.ones(len(blocks), dtype=bool)), np.array(without))


def _rank(features: np.ndarray) -> Callable[[np.ndarray], float]:
    rows = torch.from_numpy(features).double()

    def rank(keep: np.ndarray) -> float:
        kept = rows[torch.from_numpy(keep)]
        return effective_rank_of_moment(kept.T @ kept if kept.shape[0] >= kept.shape[1] else kept @ kept.T)

    return rank


def _left_out(sums: np.ndarray) -> list[np.ndarray]:
    """The sum over all blocks, then over all but one each."""
    total = sums.sum(axis=0)
    return [total, *(total - part for part in sums)]


def _jackknifed(numbers: Sequence[float]) -> JackknifeEstimate:
    return JackknifeEstimate(float(numbers[0]), np.array(numbers[1:]))


def _side(squares: np.ndarray, theory: ReceptiveField, share: float) -> JackknifeEstimate:
    place = theory.center(squares.shape[-1])
    sides = [side_holding(np.sqrt(np.maximum(part, 0)), (place, place), share) for part in _left_out(squares)]
    return _jackknifed(sides)


def _high_share(found: Frequencies, stage: str, is_high: np.ndarray, *, seen: bool) -> JackknifeEstimate:
    weights = _left_out(found.spectrum) if seen else [np.ones(len(is_high))] * (len(found.counted) + 1)
    reacted = [change * weight for change, weight in zip(_left_out(found.changes[stage]), weights, strict=True)]
    return _jackknifed([float(part[is_high].sum() / part.sum()) if part.sum() > 0 else np.nan for part in reacted])


def _reactions(found: Frequencies, stage: str) -> list[JackknifeEstimate]:
    """Of each band: the root mean square change of a map by the noise, in deviations of maps from each other."""
    counts = _left_out(found.counted)
    scale = found.variance[stage] or np.nan
    means = [np.sqrt(part / count / scale) for part, count in zip(_left_out(found.changes[stage]), counts, strict=True)]
    return [_jackknifed([part[place] for part in means]) for place in range(len(found.bands))]


def _similarities(measured: Sequence[LayerMeasures], blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All layers of all encoders with each other: (M, M), and (J, M, M) without each block of patients."""
    batches = measured[0].batches
    grams = [
        torch.stack([found.grams[stage][place] for found in measured for stage in STAGES])
        for place in range(len(batches))
    ]

    def similar(keep: np.ndarray) -> np.ndarray:
        kept = [torch.from_numpy(np.flatnonzero(keep[batch])) for batch in batches]
        parts = [
            gram[:, rows][:, :, rows] for gram, rows in zip(grams, kept, strict=True) if len(rows) >= FEWEST_IMAGES
        ]
        return minibatch_cka(parts).numpy()

    everything = similar(np.ones(len(blocks), dtype=bool))
    return everything, np.stack([similar(blocks != block) for block in range(int(blocks.max()) + 1)])


def _differences(results: LayerResults) -> dict[str, list[Difference]]:
    found: dict[str, list[tuple[Key, Key, Estimate, float]]] = {measure: [] for measure in (*MEASURES, "similarity")}
    pairs = [(encoder, other) for encoder in results.trained for other in results.references(encoder)]
    for encoder, other in pairs:
        for stage in STAGES:
            keys = (encoder.name, stage), (other.name, stage)
            tested = compare(results.probes[keys[0]], results.probes[keys[1]], metric="auc")
            found["auc"].append((*keys, tested.difference, tested.p_value))
            for measure in MEASURES[1:]:
                values = results.values[measure]
                difference = values[keys[0]] - values[keys[1]]
                found[measure].append((*keys, difference.estimate, difference.p_value))
    found["similarity"] = _of_similar_pairs(results)
    return {measure: _corrected(measure, rows) for measure, rows in found.items()}


def _of_similar_pairs(results: LayerResults) -> list[tuple[Key, Key, Estimate, float]]:
    """Of the deepest layer: how much more alike one pair of trained encoders is than another pair."""
    deepest = STAGES[-1]
    pairs = list(combinations([encoder.name for encoder in results.trained], 2))
    rows = []
    for first, second in combinations(pairs, 2):
        both = [results.alike((a, deepest), (b, deepest)) for a, b in (first, second)]
        difference = both[0] - both[1]
        names = [" and ".join(pair) for pair in (first, second)]
        rows.append(((names[0], deepest), (names[1], deepest), difference.estimate, difference.p_value))
    return rows


def _corrected(measure: str, rows: Sequence[tuple[Key, Key, Estimate, float]]) -> list[Difference]:
    usable = [row for row in rows if np.isfinite([row[2].value, row[2].low, row[2].high, row[3]]).all()]
    adjusted = holm([row[3] for row in usable])
    return [
        Difference(measure, of, less, estimate, p_holm)
        for (of, less, estimate, _), p_holm in zip(usable, adjusted, strict=True)
    ]
