"""Everything that is measured of one encoder, layer by layer, on the judged images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
import torch
from torch import Tensor

from monai_ext.data.slice_images import SliceImages
from monai_ext.metrics.effective_rank import effective_rank_of_moment
from monai_ext.metrics.frequency_bands import band_energies, band_noise, octave_bands
from monai_ext.metrics.kernel_alignment import gram_matrix
from monai_ext.metrics.receptive_field import squared_gradients
from monai_ext.networks.batch_statistics import temporary_batch_statistics
from monai_ext.networks.stage_maps import STAGES, stage_maps
from monai_ext.study.layers.encoders import OpenedEncoder
from monai_ext.study.layers.images import JudgedImages

__all__ = ["Budget", "LayerMeasures", "measure_layers"]

_STATISTICS_IMAGES = 256


@dataclass(frozen=True)
class Budget:
    """How much is computed, and so how much memory is used at a time.

    Attributes:
        batch_size: images at a time through a network.
        similarity_batch: images that are compared with each other at a time (n of the minibatch estimator).
        positions: units of a map that count for similarity and rank, on an even grid; all where there are fewer.
        frequency_images, field_images: for frequencies, and for receptive fields, which need gradients.
        strength: of the noise in a band, as a part of each image's own deviation.
    """

    batch_size: int = 32
    similarity_batch: int = 128
    positions: int = 64
    frequency_images: int = 128
    field_images: int = 128
    strength: float = 0.05

    def steps(self, images: int) -> int:
        """Images that go through a network in all, of which progress is told."""
        return images + min(images, self.frequency_images) + min(images, self.field_images)


@dataclass(frozen=True)
class Frequencies:
    """How an encoder reacts to noise of single bands of frequencies.

    Attributes:
        bands: in cycles per image.
        changes: (J, bands) by layer, of each block of patients: sum over images of the squared change of the map.
        variance: by layer: mean over images of the squared distance of a map from the mean map.
        spectrum: (J, bands) of each block: sum over images of what they have in each band.
        counted: (J,) images of each block.
    """

    bands: tuple[tuple[float, float], ...]
    changes: Mapping[str, np.ndarray] = field(repr=False)
    variance: Mapping[str, float] = field(repr=False)
    spectrum: np.ndarray = field(repr=False)
    counted: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class LayerMeasures:
    """What was measured of one encoder; every mapping has the names of :data:`~monai_ext.networks.stage_maps.STAGES`.

    Attributes:
        features: (N, D), maps averaged over the image.
        grams: one (n, n) matrix a batch, of maps at some positions.
        batches: numbers of the images in each batch, the same for all encoders.
        map_rank: effective rank of the features at single positions, over all images.
        frequencies: reactions to noise.
        gradients: (J, H, W) of each block: sum over images of the central unit's squared gradients.
    """

    features: Mapping[str, np.ndarray] = field(repr=False)
    grams: Mapping[str, list[Tensor]] = field(repr=False)
    batches: list[np.ndarray] = field(repr=False)
    map_rank: Mapping[str, float]
    frequencies: Frequencies
    gradients: Mapping[str, np.ndarray] = field(repr=False)


def measure_layers(
    encoder: OpenedEncoder,
    judged: JudgedImages,
    *,
    device: torch.device,
    budget: Budget | None = None,
    seed: int = 0,
    progress: Callable[[int], object] = lambda count: None,
) -> LayerMeasures:
    """Measure one encoder.

    Args:
        encoder: which; random weights take the images' batch-norm statistics, trained ones have their own.
        judged: on which images.
        device: where to compute.
        budget: how much.
        seed: of the noise, of signs, and of which images are compared with each other; the same for all encoders.
        progress: called with the number of further images that went through the network, see :meth:`Budget.steps`.

    Raises:
        DatasetError: an image cannot be decoded.
    """
    images = judged.opened(image_size=encoder.image_size, window=encoder.window, channels=encoder.channels)
    encoder.network.to(device)
    pass_through = _Pass(encoder, judged, images, device, budget or Budget(), seed, progress)
    with pass_through.fitting_statistics(), torch.no_grad():
        measures = pass_through.measured()
    encoder.network.cpu()
    return measures


@dataclass(frozen=True)
class _Pass:
    """The images on their way through one encoder."""

    encoder: OpenedEncoder
    judged: JudgedImages
    images: SliceImages
    device: torch.device
    budget: Budget
    seed: int
    progress: Callable[[int], object]

    def maps(self, inputs: Tensor) -> dict[str, Tensor]:
        return stage_maps(self.encoder.network, inputs)

    @contextmanager
    def fitting_statistics(self) -> Iterator[None]:
        if self.encoder.trained:
            yield
            return
        batches = (inputs for _, inputs in self.batches(self.judged.spread(_STATISTICS_IMAGES)))
        with temporary_batch_statistics(self.encoder.network, self.maps, batches):
            yield

    def batches(self, numbers: Sequence[int] | np.ndarray) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Numbers of some images, and the images (B, C, S, S) on the device."""
        for first in range(0, len(numbers), self.budget.batch_size):
            part = np.asarray(numbers[first : first + self.budget.batch_size])
            yield part, torch.stack([self.images[int(number)] for number in part]).to(self.device)

    def measured(self) -> LayerMeasures:
        order = np.random.default_rng(self.seed).permutation(len(self.images))
        batches = np.array_split(order, max(1, round(len(order) / self.budget.similarity_batch)))
        features: dict[str, np.ndarray] = {}
        grams: dict[str, list[Tensor]] = {name: [] for name in STAGES}
        moments: dict[str, Tensor] = {}
        for batch in batches:
            for name, values in self._at_positions(batch, features).items():
                grams[name].append(gram_matrix(values).cpu())
                vectors = values.transpose(1, 2).flatten(0, 1)
                moment = (vectors.T @ vectors).double().cpu()
                moments[name] = moments[name] + moment if name in moments else moment
        ranks = {name: effective_rank_of_moment(moment) for name, moment in moments.items()}
        return LayerMeasures(features, grams, list(batches), ranks, self._frequencies(), self._fields())

    def _at_positions(self, batch: np.ndarray, features: dict[str, np.ndarray]) -> dict[str, Tensor]:
        """(n, D, positions) by layer, of a batch of images whose averages go into ``features``."""
        found: dict[str, list[Tensor]] = {name: [] for name in STAGES}
        for numbers, inputs in self.batches(batch):
            for name, values in self.maps(inputs).items():
                rows = features.setdefault(name, np.empty((len(self.images), values.shape[1]), dtype=np.float32))
                rows[numbers] = values.float().mean(dim=(2, 3)).cpu().numpy()
                down, across = _grid(values.shape[2:], self.budget.positions)
                found[name].append(values.float()[:, :, down, across].flatten(2))
            self.progress(len(inputs))
        return {name: torch.cat(parts) for name, parts in found.items()}

    def _frequencies(self) -> Frequencies:
        size, blocks = self.encoder.image_size, int(self.judged.blocks.max()) + 1
        bands = octave_bands(size)
        changes = {name: np.zeros((blocks, len(bands))) for name in STAGES}
        spectrum, counted = np.zeros((blocks, len(bands))), np.zeros(blocks)
        spread = {name: _Spread() for name in STAGES}
        generator = torch.Generator().manual_seed(self.seed)
        for numbers, inputs in self.batches(self.judged.spread(self.budget.frequency_images)):
            block, plane = self.judged.blocks[numbers], inputs[:, 0].cpu()
            np.add.at(spectrum, block, band_energies(plane, bands).numpy())
            np.add.at(counted, block, 1)
            loudness = self.budget.strength * plane.std(dim=(1, 2), correction=0)[:, None, None]
            clean = self.maps(inputs)
            for name, values in clean.items():
                spread[name].add(values)
            for place, band in enumerate(bands):
                noise = loudness * band_noise((len(inputs), size, size), band, generator=generator)
                for name, values in self.maps(inputs + noise[:, None].to(self.device)).items():
                    moved = (values - clean[name]).double().square().sum(dim=(1, 2, 3)).cpu().numpy()
                    np.add.at(changes[name][:, place], block, moved)
            self.progress(len(inputs))
        return Frequencies(bands, changes, {name: sums.variance for name, sums in spread.items()}, spectrum, counted)

    def _fields(self) -> dict[str, np.ndarray]:
        size, blocks = self.encoder.image_size, int(self.judged.blocks.max()) + 1
        found = {name: np.zeros((blocks, size, size)) for name in STAGES}
        generator = torch.Generator().manual_seed(self.seed)
        for numbers, inputs in self.batches(self.judged.spread(self.budget.field_images)):
            for name, squares in squared_gradients(self.maps, inputs, generator=generator).items():
                np.add.at(found[name], self.judged.blocks[numbers], squares.numpy())
            self.progress(len(inputs))
        return found


class _Spread:
    """Mean squared distance of maps from their mean, from sums."""

    def __init__(self) -> None:
        self._count, self._squares = 0, 0.0
        self._sum: Tensor | None = None

    def add(self, maps: Tensor) -> None:
        """(B, C, h, w)."""
        values = maps.double()
        self._count += len(values)
        self._squares += float(values.square().sum())
        self._sum = values.sum(dim=0) if self._sum is None else self._sum + values.sum(dim=0)

    @property
    def variance(self) -> float:
        mean = 0.0 if self._sum is None else float((self._sum / self._count).square().sum())
        return self._squares / max(self._count, 1) - mean


def _grid(shape: Sequence[int], most: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of at most so many positions, at even distances, the first half a distance from the border."""
    side = isqrt(most)
    rows, columns = (
        torch.tensor([(2 * number + 1) * count // (2 * min(count, side)) for number in range(min(count, side))])
        for count in shape
    )
    return rows[:, None], columns[None]
