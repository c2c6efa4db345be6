"""What the encoder knows about classes that it was never told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Events
from monai.networks.utils import eval_mode
from torch import Tensor

from monai_ext.data import LabelledImages
from monai_ext.embedding.features import evenly_spaced, joint_features, pooled
from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.errors import DatasetError
from monai_ext.metrics.nearest_neighbours import check_neighbours, knn_accuracies
from monai_ext.parallel.processes import unwrap
from monai_ext.parallel.random_streams import preserved_random_streams

__all__ = ["KNNMonitor"]


class KNNMonitor:
    """Accuracy of k nearest neighbours on labelled slices, by the features of ``network.encoder``, at each evaluation.

    For every set there are ``knn_accuracy_<name>`` and ``knn_balanced_accuracy_<name>`` (the mean of the classes'
    recalls; chance is 1 / number of classes) in the evaluator's ``state.metrics``. Neighbours of the image's own group
    (patient) never vote, see :func:`~monai_ext.metrics.knn_predictions`. The encoder is in evaluation mode, nothing is
    learnt from the labels, and the random streams stay as they were. In a distributed run the processes share the work
    and have the same values.

    Args:
        labelled: a set, several sets with different names, or none, which does nothing.
        k: number of neighbours, or a list of them: then names end in ``_k5``, ``_k20`` ...
        temperature: of the votes' weights; None for equal weights.
        batch_size: images at a time in one process.
        max_images: of each set at most so many are used, evenly spaced: the cost of one evaluation is bounded.

    Raises:
        ValueError: a number is not positive.
        DatasetError: a set is too small for k, or has a class in one group only.

    Example:
        >>> KNNMonitor(None).sets
        ()
    """

    def __init__(
        self,
        labelled: LabelledImages | Sequence[LabelledImages] | None,
        *,
        k: int | Sequence[int] = 20,
        temperature: float | None = 0.07,
        batch_size: int = 32,
        max_images: int = 2000,
    ) -> None:
        if batch_size < 1 or max_images < 1:
            raise ValueError(f"batch_size and max_images are at least 1; received {batch_size} and {max_images}.")
        self.sets = (labelled,) if isinstance(labelled, LabelledImages) else tuple(labelled or ())
        self.k = (k,) if isinstance(k, int) else tuple(k)
        self.temperature = temperature
        self.batch_size = batch_size
        self._chosen = {slices.name: evenly_spaced(len(slices), limit=max_images) for slices in self.sets}
        if len(self._chosen) < len(self.sets) or not self.k:
            raise ValueError(
                "Each labelled set needs a name of its own for its metric, and there is at least one k; received the"
                f" names {[slices.name for slices in self.sets]} and k={k}."
            )
        for slices in self.sets:
            self._check(slices)

    def attach(self, engine: PretrainingEvaluator) -> None:
        """Measure at the end of each evaluation."""
        if self.sets:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._measure)

    def _check(self, slices: LabelledImages) -> None:
        labels, groups = self._labels_and_groups(slices)
        try:
            for k in self.k:
                check_neighbours(labels, groups, k=k, temperature=self.temperature)
        except ValueError as error:
            raise DatasetError(f"The labelled set {slices.name} cannot be used for k-NN accuracy: {error}") from error

    def _labels_and_groups(self, slices: LabelledImages) -> tuple[list[int], list[str]]:
        chosen = self._chosen[slices.name]
        return [slices.labels[index] for index in chosen], [slices.groups[index] for index in chosen]

    def _measure(self, engine: PretrainingEvaluator) -> None:
        encoder: Any = unwrap(engine.network).encoder
        device: Any = engine.state.device

        def encode(images: Tensor) -> tuple[Tensor]:
            with engine.precision.autocast():
                return (pooled(encoder(images)),)

        for slices in self.sets:
            with preserved_random_streams(), eval_mode(encoder):
                (features,) = joint_features(
                    encode, slices, self._chosen[slices.name], batch_size=self.batch_size, device=device
                )
            engine.state.metrics.update(self._accuracies(features, slices))

    def _accuracies(self, features: Tensor, slices: LabelledImages) -> dict[str, float]:
        labels, groups = self._labels_and_groups(slices)
        values: dict[str, float] = {}
        for k in self.k:
            ending = f"{slices.name}_k{k}" if len(self.k) > 1 else slices.name
            plain = balanced = float("nan")
            if bool(torch.isfinite(features).all()):
                plain, balanced = knn_accuracies(features, labels, groups, k=k, temperature=self.temperature)
            values[f"knn_accuracy_{ending}"] = plain
            values[f"knn_balanced_accuracy_{ending}"] = balanced
        return values
