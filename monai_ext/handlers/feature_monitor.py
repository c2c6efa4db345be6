"""Whether features still tell images apart, and a warning when they do not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Events
from monai.networks.utils import eval_mode
from torch import Tensor

from monai_ext.embedding.features import evenly_spaced, joint_features, pooled
from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.metrics import alignment, effective_rank, feature_std, uniformity
from monai_ext.parallel.processes import process_rank, unwrap
from monai_ext.parallel.random_streams import preserved_random_streams

__all__ = ["FeatureMonitor"]

logger = logging.getLogger(__name__)

_FEWEST = 8
"""Images without which spread and rank say nothing."""


class FeatureMonitor:
    """Spread and rank of features of held-out slices at each evaluation, in the evaluator's ``state.metrics``.

    ``feature_std`` and ``effective_rank`` are of ``network.encoder``, what fine-tuning starts from. A network with
    ``embed``, the embedding that a contrastive method compares, gets ``embedding_std`` as well, and with ``views`` of
    two or more views ``alignment`` and ``uniformity`` of the first two. What they mean: :mod:`monai_ext.metrics`,
    ``docs/quality_signals.md``.

    One warning is logged when features collapse, that is when one of them falls below a bound under which even an
    untrained ResNet is not, and another one only after they have recovered. The network is in evaluation mode, and the
    random streams stay as they were. In a distributed run the processes share the work and have the same values.

    Args:
        dataset: held-out images (C, *spatial) in [0, 1], ready for the network, or dictionaries with such an
            ``"image"``. With fewer than eight, nothing is measured.
        views: ``views(images, generator=...)`` gives a list of views, as in training; the same ones at each evaluation.
            Those of the evaluator when omitted.
        batch_size: images at a time in one process.
        max_images: at most so many are used, evenly spaced: the cost is bounded, and rank depends on the number.
        seed: of the views.
        min_std: bound of ``feature_std`` and ``embedding_std``.
        min_rank: bound of ``effective_rank``.

    Raises:
        ValueError: ``batch_size`` is not positive or ``max_images`` is below eight.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        views: Callable[..., Any] | None = None,
        batch_size: int = 32,
        max_images: int = 512,
        seed: int = 0,
        min_std: float = 0.02,
        min_rank: float = 2.0,
    ) -> None:
        if batch_size < 1 or max_images < _FEWEST:
            raise ValueError(
                f"batch_size is at least 1 and max_images at least {_FEWEST}; received {batch_size} and {max_images}."
            )
        self.dataset = dataset
        self.views = views
        self.batch_size = batch_size
        self.seed = seed
        self.min_std = min_std
        self.min_rank = min_rank
        self._chosen = evenly_spaced(len(dataset), limit=max_images)
        self._collapsed = False

    def attach(self, engine: PretrainingEvaluator) -> None:
        """Measure at the end of each evaluation."""
        if len(self._chosen) >= _FEWEST:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._measure)
        elif process_rank() == 0:
            logger.info(
                "Spread and rank of features are not measured: %d held-out images are too few, %d are needed.",
                len(self._chosen),
                _FEWEST,
            )

    def _measure(self, engine: PretrainingEvaluator) -> None:
        network: Any = unwrap(engine.network)
        device: Any = engine.state.device
        generator = torch.Generator().manual_seed(self.seed + process_rank())
        views = self.views or getattr(engine, "views", None)

        def encode(images: Tensor) -> list[Tensor]:
            with engine.precision.autocast():
                return [
                    pooled(network.encoder(images)),
                    *self._embed(network, images, views, generator),
                ]

        with preserved_random_streams(), eval_mode(network):
            matrices = joint_features(encode, self.dataset, self._chosen, batch_size=self.batch_size, device=device)
        values = _values(*matrices)
        engine.state.metrics.update(values)
        if getattr(engine.state, "training_iteration", None) != 0:
            self._watch(values, matrices[0].shape[1])

    def _embed(
        self, network: Any, images: Tensor, make_views: Callable[..., Any] | None, generator: torch.Generator
    ) -> list[Tensor]:
        """Embeddings of two views, or of the image itself; none where the network has none."""
        if not hasattr(network, "embed"):
            return []
        views = [images] if make_views is None else make_views(images, generator=generator)
        views = [views] if isinstance(views, Tensor) else views
        return [network.embed(view) for view in views[:2]]

    def _watch(self, values: dict[str, float], dimensions: int) -> None:
        bounds = {"feature_std": self.min_std, "embedding_std": self.min_std, "effective_rank": self.min_rank}
        low = {name: values[name] for name, bound in bounds.items() if values.get(name, bound) < bound}
        if low and not self._collapsed and process_rank() == 0:
            logger.warning(
                "The features have collapsed: %s, of %d dimensions on held-out slices. All images get nearly the same"
                " features, so this encoder tells nothing about them and fine-tuning from it will not help. Stop, and"
                " start from an earlier checkpoint or anew with a lower learning rate, a longer warm-up or a larger"
                " batch; docs/quality_signals.md says more.",
                ", ".join(f"{name} is {value:.3g} (below {bounds[name]:g})" for name, value in low.items()),
                dimensions,
            )
        self._collapsed = bool(low)


def _values(features: Tensor, *embeddings: Tensor) -> dict[str, float]:
    """The metrics; NaN, not an error, where features are not finite: whoever guards the training stops it."""
    values: dict[str, float] = {}
    is_finite = all(bool(matrix.isfinite().all()) for matrix in (features, *embeddings))
    nan = float("nan")
    values["feature_std"] = feature_std(features) if is_finite else nan
    values["effective_rank"] = effective_rank(features) if is_finite else nan
    if embeddings:
        values["embedding_std"] = feature_std(embeddings[0]) if is_finite else nan
    if len(embeddings) > 1:
        values["alignment"] = alignment(embeddings[0], embeddings[1]) if is_finite else nan
        values["uniformity"] = uniformity(embeddings[0]) if is_finite else nan
    return values
