"""What a classifier said of every image of an evaluation, in the order of the data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from monai_ext.parallel.processes import interleaved, process_count

__all__ = ["GatheredPredictions", "as_probabilities"]

_SUM_TOLERANCE = 1e-3
_SUM_TOLERANCE_OF_BFLOAT16 = torch.finfo(torch.bfloat16).eps


class GatheredPredictions:
    """Collects ``pred`` (B, K) and ``label`` (B,) of an engine's outputs, decollated or not.

    In a distributed run the processes have shares as ``torch.utils.data.DistributedSampler`` makes them without
    shuffling: every W-th image each, the last ones repeated.
    """

    def __init__(self) -> None:
        self._predictions: list[Tensor] = []
        self._labels: list[Tensor] = []

    def reset(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def update(self, output: Any) -> None:
        """Add the output of one iteration: a dictionary of batches, or a list with a dictionary an image.

        Raises:
            ValueError: there is no ``pred`` or no ``label``, or their shapes do not fit.
        """
        batch = output if isinstance(output, Mapping) else {key: _stacked(output, key) for key in ("pred", "label")}
        if not {"pred", "label"} <= set(batch):
            raise ValueError(
                "Classification results need 'pred' and 'label' in the evaluator's output; it has"
                f" {', '.join(map(str, batch)) or 'nothing'}."
            )
        predictions, labels = torch.as_tensor(batch["pred"]), torch.as_tensor(batch["label"])
        if predictions.dim() != 2 or labels.numel() != len(predictions):
            raise ValueError(
                "Classification results need 'pred' (B, K) and 'label' (B,) with class numbers; received the shapes"
                f" {tuple(predictions.shape)} and {tuple(labels.shape)}."
            )
        self._predictions.append(predictions.detach().double().cpu().as_subclass(Tensor))
        self._labels.append(labels.detach().cpu().as_subclass(Tensor).reshape(-1))

    def all(self, count: int | None = None) -> tuple[Tensor, Tensor]:
        """Predictions (N, K), float64, and labels (N,), of all processes.

        Args:
            count: N as the data set says it; what a sampler repeated beyond it is left out.

        Raises:
            ValueError: nothing was collected.
        """
        if not self._predictions:
            raise ValueError("There is nothing to judge: the evaluator's loader gave no batch.")
        predictions, labels = torch.cat(self._predictions), torch.cat(self._labels)
        if process_count() > 1 and len(labels) != count:
            return _of_all(predictions)[:count], _of_all(labels)[:count]
        return predictions, labels


def as_probabilities(predictions: Tensor) -> Tensor:
    """Probabilities (N, K) of probabilities, or of logits by softmax.

    They are taken for probabilities when all are in [0, 1] and all rows sum to 1, which logits do not happen to do.
    Rows that were rounded to bfloat16, and sum to 1 no better than that, are brought to 1. What is not finite stays so.
    """
    sums = predictions.sum(dim=1, keepdim=True)
    is_share = ((predictions >= 0) & (predictions <= 1)).all()
    if bool(is_share & ((sums - 1).abs() < _SUM_TOLERANCE_OF_BFLOAT16).all()):
        return torch.where((sums - 1).abs() < _SUM_TOLERANCE, predictions, predictions / sums)
    return predictions.softmax(dim=1)


def _stacked(output: Sequence[Mapping[str, Any]], key: str) -> Tensor:
    missing = [index for index, item in enumerate(output) if key not in item]
    if missing:
        raise ValueError(f"Classification results need {key!r} in the evaluator's output; an item has none.")
    return torch.stack([torch.as_tensor(item[key]).as_subclass(Tensor) for item in output])


def _of_all(own: Tensor) -> Tensor:
    shares: list[Any] = [None] * process_count()
    torch.distributed.all_gather_object(shares, own)
    return interleaved(shares)
