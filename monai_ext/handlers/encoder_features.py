"""Write what the encoder says about each image, for k-NN, clustering or a linear classifier."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ignite.engine import Events
from monai.networks.utils import eval_mode
from torch import Tensor

from monai_ext.embedding.feature_table import FeatureRows, write_feature_table
from monai_ext.embedding.features import encode_batches, pooled
from monai_ext.engines.pretraining_evaluator import PretrainingEvaluator
from monai_ext.errors import TrainingStoppedError
from monai_ext.parallel.processes import unwrap

__all__ = ["EncoderFeatures"]

logger = logging.getLogger(__name__)


class EncoderFeatures:
    """Write ``features.parquet`` with the encoder's globally averaged features of every image, nothing masked.

    They are the evaluator's output (of :class:`~monai_ext.inferers.EncoderInferer`), or are computed from the images in
    it (of :class:`~monai_ext.inferers.MaskedImageInferer`). The file has the columns of
    :func:`~monai_ext.embedding.write_feature_table`, in the loader's order; ``features`` are D float32 with D channels
    of the deepest map (2048 for ResNet-50), ``group`` is the pseudonym of each image's origin.

    Args:
        output_dir: folder of the file; it is made.
        groups: of every image in the loader's order, as ``dataset.groups``.
    """

    def __init__(self, output_dir: str | Path, *, groups: Sequence[str]) -> None:
        self.path = Path(output_dir) / "features.parquet"
        self.groups = groups
        self._features: list[Tensor] = []

    def attach(self, engine: PretrainingEvaluator) -> None:
        """Gather after every iteration, write at the end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._features.clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _gather(self, engine: PretrainingEvaluator) -> None:
        output = engine.state.output["output"]
        self._features.append(
            output.flatten(1).cpu() if isinstance(output, Tensor) else self._encode(engine, output[1])
        )

    def _encode(self, engine: PretrainingEvaluator, images: Tensor) -> Tensor:
        encoder = unwrap(engine.network).encoder

        def encode(batch: Tensor) -> tuple[Tensor]:
            with eval_mode(encoder), engine.precision.autocast():
                return (pooled(encoder(batch)),)

        ((features,),) = encode_batches(encode, [images], device=images.device)
        return features

    def _write(self) -> None:
        count = sum(map(len, self._features))
        rows = FeatureRows(range(count), self.groups[:count])
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            dimensions = write_feature_table(self.path, rows, self._features, about={})
        except OSError as error:
            raise TrainingStoppedError(
                "The evaluation stopped: the features were not written to {file} ({reason}). Free space or choose"
                " another output_dir.",
                file=self.path,
                reason=error,
            ) from error
        logger.info("Features of %d images with %d channels are in %s.", count, dimensions, self.path)
