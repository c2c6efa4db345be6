"""Write what the encoder says about each image, for k-NN, clustering or a linear classifier."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ignite.engine import Events
from monai.networks.utils import eval_mode
from torch import Tensor

from monai_ext.engines.feature_evaluator import FeatureEvaluator
from monai_ext.engines.reconstruction_evaluator import ReconstructionEvaluator
from monai_ext.files import write_atomically
from monai_ext.parallel.processes import unwrap

__all__ = ["EncoderFeatures"]

logger = logging.getLogger(__name__)


class EncoderFeatures:
    """Write ``features.npz`` with the encoder's globally averaged features of every image, nothing masked.

    They are those of the evaluator's output, or are computed from its images
    (:class:`~monai_ext.engines.FeatureEvaluator`, :class:`~monai_ext.engines.ReconstructionEvaluator`).

    The file has ``features``, float32 (N, D) with D channels of the deepest map (2048 for ResNet-50), and ``group``
    (N,), the pseudonym of each image's origin, in the loader's order.

    Args:
        output_dir: folder of the file; it is made.
        groups: of every image in the loader's order, as ``dataset.groups``.
    """

    def __init__(self, output_dir: str | Path, *, groups: Sequence[str]) -> None:
        self.path = Path(output_dir) / "features.npz"
        self.groups = groups
        self._features: list[Tensor] = []

    def attach(self, engine: FeatureEvaluator | ReconstructionEvaluator) -> None:
        """Gather after every iteration, write at the end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._features.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _gather(self, engine: FeatureEvaluator | ReconstructionEvaluator) -> None:
        output = engine.state.output
        features = output["features"] if "features" in output else self._encode(engine, output["image"])
        self._features.append(features.float().flatten(1).cpu())

    def _encode(self, engine: FeatureEvaluator | ReconstructionEvaluator, images: Tensor) -> Tensor:
        encoder = unwrap(engine.network).encoder
        with eval_mode(encoder), torch.no_grad(), engine.precision.autocast():
            features: Tensor = encoder(images)
        return features

    def _write(self) -> None:
        features = torch.cat(self._features).numpy()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        group = np.array(self.groups[: len(features)])
        write_atomically(self.path, lambda file: np.savez_compressed(file, features=features, group=group))
        logger.info("Features of %d images with %d channels are in %s.", *features.shape, self.path)
