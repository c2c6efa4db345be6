"""What the training images look like to the network and in gray values, so that other images can be told from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_ext.checks.gray_statistics import GRAY_STATISTICS, gray_statistics
from monai_ext.errors import DatasetError
from monai_ext.sharing.trained_classifier import TrainedClassifier

__all__ = [
    "DistanceModel",
    "ReferenceDistances",
    "measure_reference",
    "network_inputs",
    "slice_probabilities",
    "watched_features",
]

LEAST_IMAGES = 40
COMPONENTS = 32
QUANTILE = 0.99
BATCH = 16
FORMAT = 1
_TWO_HALVES = 2


@dataclass(frozen=True)
class DistanceModel:
    """How far a vector lies from those of the training images.

    Args:
        center: (D,), their mean.
        axes: (K, D), directions in which they vary, each divided by its standard deviation.
        residual: standard deviation of what these directions leave over.
        threshold: distance that a hundredth of held-out training images exceeds.
        false_alarms: share of other held-out training images beyond the threshold, as measured.
        judged_on: number of those images.
    """

    center: np.ndarray
    axes: np.ndarray
    residual: float
    threshold: float
    false_alarms: float
    judged_on: int

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """Distances of vectors (N, D): root mean square of the standardised deviations, (N,)."""
        return _distances(vectors, self.center, self.axes, self.residual)

    def to_json(self) -> dict[str, Any]:
        """As plain values, with six digits."""
        rounded = {"center": _rounded(self.center), "axes": _rounded(self.axes)}
        numbers = {name: float(f"{getattr(self, name):.6g}") for name in ("residual", "threshold", "false_alarms")}
        return rounded | numbers | {"judged_on": self.judged_on}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DistanceModel:
        """From what :meth:`to_json` gave.

        Raises:
            DatasetError: it is damaged.
        """
        try:
            center, axes = np.asarray(content["center"], float), np.asarray(content["axes"], float)
            if center.ndim != 1 or axes.ndim != _TWO_HALVES or axes.shape[1] != len(center):
                raise ValueError(f"shapes {center.shape} and {axes.shape}")
            residual, threshold, share = (float(content[name]) for name in ("residual", "threshold", "false_alarms"))
            return cls(center, axes, residual, threshold, share, int(content["judged_on"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f"The reference statistics of the model cannot be read ({error}): pack it again."
            ) from error


def _rounded(values: np.ndarray) -> list[Any]:
    return np.vectorize(lambda value: float(f"{value:.6g}"))(values).tolist()


def _distances(vectors: np.ndarray, center: np.ndarray, axes: np.ndarray, residual: float) -> np.ndarray:
    deviations = vectors - center
    along = deviations @ axes.T
    lengths = np.linalg.norm(axes, axis=1)
    directions = axes / lengths[:, None]
    left = deviations - (deviations @ directions.T) @ directions
    beyond = np.square(left).sum(axis=1) / max(residual, 1e-12) ** 2 / max(vectors.shape[1] - len(axes), 1)
    return np.sqrt(np.square(along).mean(axis=1) + beyond)


def _fit(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    center = vectors.mean(axis=0)
    _, spread, directions = np.linalg.svd(vectors - center, full_matrices=False)
    deviations = spread / np.sqrt(max(len(vectors) - 1, 1))
    count = max(1, min(COMPONENTS, len(vectors) // 4, int((deviations > deviations[0] * 1e-3).sum())))
    axes = directions[:count] / deviations[:count, None]
    left = np.square(deviations[count:]).sum() / max(vectors.shape[1] - count, 1)
    return center, axes, float(max(np.sqrt(left), deviations[0] * 1e-3))


def _fitted(vectors: np.ndarray, parts: Sequence[np.ndarray]) -> DistanceModel:
    """Fitted to the first part, threshold from the second, false alarms from the third."""
    center, axes, residual = _fit(vectors[parts[0]])
    calibration, judged = (_distances(vectors[part], center, axes, residual) for part in parts[1:])
    threshold = float(np.quantile(calibration, QUANTILE))
    return DistanceModel(center, axes, residual, threshold, float((judged > threshold).mean()), len(judged))


class ReferenceDistances:
    """How far images lie from those of a training, in parts of the distance that a hundredth of those exceeds.

    Args:
        reference: as :func:`measure_reference` gave it; None for a model that came without.
    """

    def __init__(self, reference: Mapping[str, Any] | None) -> None:
        names = () if reference is None else ("features", "gray_values")
        self._models = {name: DistanceModel.from_json(reference[name]) for name in names} if reference else {}

    def of_features(self, features: Tensor) -> list[float | None]:
        """Of what :func:`watched_features` gave, (B, D); None for each where there are no statistics."""
        return self._parts("features", features.cpu().numpy())

    def of_images(self, images: Sequence[Tensor]) -> list[float | None]:
        """Of the gray values of images, each (1, H, W) in [0, 1]."""
        return self._parts("gray_values", np.stack([gray_statistics(image.numpy()) for image in images]))

    def _parts(self, name: str, vectors: np.ndarray) -> list[float | None]:
        if name not in self._models:
            return [None] * len(vectors)
        model = self._models[name]
        return [float(value) for value in model.distances(vectors.astype(float)) / max(model.threshold, 1e-12)]


def measure_reference(
    network: nn.Module, images: Iterable[tuple[Tensor, str]], *, image_size: int, in_channels: int, modality: str
) -> dict[str, Any]:
    """Statistics of training images; no image, name or patient can be read from them.

    Args:
        network: a classifier or a segmentation network.
        images: each (1, H, W) in [0, 1], with the patient or group that it belongs to. Patients are divided into three
            parts, so that the threshold and its false alarms are measured on patients that nothing was fitted to.
        image_size: of the network's input.
        in_channels: likewise.
        modality: of the images, such as CT.

    Raises:
        DatasetError: there are too few images or patients.
    """
    features, grays, groups = [], [], []
    for image, group in images:
        with torch.no_grad(), watched_features(network) as seen:
            network(network_inputs([image], image_size, in_channels))
        features.append(seen[0].cpu().numpy()[0])
        grays.append(gray_statistics(image.numpy()))
        groups.append(group)
    parts = _three_parts(groups)
    return {
        "format": FORMAT,
        "modality": modality,
        "images": len(groups),
        "groups": len(set(groups)),
        "gray_statistics": list(GRAY_STATISTICS),
        "features": _fitted(np.asarray(features, float), parts).to_json(),
        "gray_values": _fitted(np.asarray(grays, float), parts).to_json(),
    }


def _three_parts(groups: Sequence[str]) -> list[np.ndarray]:
    names = sorted(set(groups))
    if len(groups) < LEAST_IMAGES or len(names) < 6:
        raise DatasetError(
            f"Reference statistics need {LEAST_IMAGES} images of 6 patients at least; found were {len(groups)} of"
            f" {len(names)}. Fewer would say something about single patients. Pack without --reference."
        )
    order = np.random.default_rng(0).permutation(len(names))
    part_of = {names[place]: min(number * 3 // len(names), 2) for number, place in enumerate(order)}
    return [np.array([i for i, group in enumerate(groups) if part_of[group] == part]) for part in range(3)]


def network_inputs(images: Sequence[Tensor], image_size: int, in_channels: int) -> Tensor:
    """Images (1, H, W) in [0, 1] as the network takes them: (B, C, S, S), resized as ``inference.json`` does."""
    size = (image_size, image_size)
    resized = [_resized(image[None].float(), size) for image in images]
    return torch.cat(resized).expand(-1, in_channels, -1, -1)


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """As MONAI's ``Resize(mode="bilinear", anti_aliasing=True)``."""
    from monai.transforms import Resize

    return torch.as_tensor(Resize(size, mode="bilinear", anti_aliasing=True)(image[0]))[None]


def slice_probabilities(model: TrainedClassifier, images: Any) -> np.ndarray:
    """What a classifier gives labelled images, (N, K)."""
    network, settings = model.build(), model.settings
    batches = [range(start, min(start + BATCH, len(images))) for start in range(0, len(images), BATCH)]
    found = []
    with torch.no_grad():
        for batch in batches:
            read = [images[number]["image"] for number in batch]
            inputs = network_inputs(read, settings["image_size"], settings["in_channels"])
            found.append(network(inputs).softmax(dim=1).numpy())
    return np.concatenate(found).astype(float)


@contextmanager
def watched_features(network: nn.Module) -> Iterator[list[Tensor]]:
    """While it is open, one batch through a network leaves its features in the list: (B, D), on its device.

    Of a classifier they are what its last layer ``fc`` sees. Of any other network they are the means over the pixels of
    the convolution with the fewest pixels, the last one of these: what is known of the image as a whole.
    """
    seen: list[Tensor] = []
    fewest = [np.inf]

    def keep(_: nn.Module, __: Any, output: Tensor) -> None:
        if (pixels := output[0, 0].numel()) <= fewest[0]:
            fewest[0] = pixels
            seen[:] = [output.detach().float().flatten(2).mean(dim=2)]

    head = dict(network.named_children()).get("fc")
    if head is not None:
        handles = [head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().flatten(1).float()))]
    else:
        convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
        handles = [convolution.register_forward_hook(keep) for convolution in convolutions]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
