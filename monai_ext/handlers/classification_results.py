"""Judge a classifier at the end of an evaluation, and write what there is to see."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed
from ignite.engine import Engine, Events
from torch import Tensor

from monai_ext.data import LabelledImages
from monai_ext.files import read_json
from monai_ext.handlers.classification_files import PICTURES, TABLES, write_classification_files
from monai_ext.handlers.result_files import ResultsWriting, log_result_files, metric_numbers
from monai_ext.metrics import ClassificationEvaluation, choose_threshold, evaluate_classification
from monai_ext.metrics.classification import evaluate_predictions
from monai_ext.parallel.processes import interleaved, process_count, process_rank

if TYPE_CHECKING:
    from monai_ext.tracking import MLflowTracker

__all__ = ["ClassificationResults", "GatheredPredictions", "as_probabilities"]

logger = logging.getLogger(__name__)

_SUM_TOLERANCE = 1e-3
_SUM_TOLERANCE_OF_BFLOAT16 = torch.finfo(torch.bfloat16).eps


class ClassificationResults(ResultsWriting):
    """Gather ``pred`` and ``label`` of an evaluation's outputs and judge them when it ends.

    Metrics (see :func:`~monai_ext.metrics.evaluate_classification`) go into the evaluator's ``state.metrics``:
    ``auc``, ``average_precision``, ``macro_f1``, ``accuracy``, ``balanced_accuracy``, ``brier_score``,
    ``calibration_error``, for two classes ``sensitivity``, ``specificity`` and ``threshold``; where there are
    intervals, also ``<name>_low`` and ``<name>_high``. Where images are excluded, each is there a second time as
    ``<name>_without_excluded``.

    With an ``output_dir`` it writes ``metrics.json``, ``metrics.csv``, ``per_class.csv``, ``predictions.csv`` (one row
    an image) and the pictures ``confusion_matrix.png``, ``roc.png``, ``precision_recall.png``, ``reliability.png``.

    Works with MONAI's ``SupervisedEvaluator`` and ``EnsembleEvaluator`` (after a postprocessing that makes one
    ``pred``), decollating or not. In a distributed run every process has the same metrics, and the first writes.

    Args:
        output_dir: folder of the files; it is made. None writes nothing and makes no intervals: for validation during
            training.
        images: that are judged, as of :func:`~monai_ext.data.open_labelled_sections`: their classes, their groups and
            their near duplicates of earlier sections are taken where ``class_names``, ``groups`` and ``exclude`` are
            not given.
        class_names: in the order of the columns of ``pred``.
        positive_class: of two classes, the name of the one that is looked for.
        groups: of every image in the loader's order (``dataset.groups``): the patient, for the intervals.
        names: of every image, for ``predictions.csv``; None for numbers. Names of files may tell who the patient is.
        threshold: of the positive class: a number, the ``metrics.json`` of an evaluation that chose it, that
            evaluation's handler, or ``"choose"`` to choose it on these images, which must be those of validation, when
            there are files to write. None calls the likelier class.
        exclude: names (where there are ``names``) or numbers of images that are left out in a second result, such as
            near duplicates of training images.
        n_bootstrap: resamples for the intervals.
        seed: of the resamples.
        tracker: logs pictures and tables besides, but nothing with ``names`` or places in it.
        details: plain values to keep in ``metrics.json``, such as the data and the model.

    Raises:
        ValueError: a threshold or images to exclude that cannot be used; and at the end of an evaluation, when the
            predictions cannot be judged.
    """

    def __init__(
        self,
        output_dir: str | Path | None = None,
        *,
        images: LabelledImages | None = None,
        class_names: Sequence[str] | None = None,
        positive_class: str | None = None,
        groups: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
        threshold: float | str | Path | ClassificationResults | None = None,
        exclude: Collection[str | int] | None = None,
        n_bootstrap: int = 2000,
        seed: int = 0,
        tracker: MLflowTracker | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = None if output_dir is None else Path(output_dir)
        if class_names is None and images is None:
            raise ValueError("Classification results need the images that are judged, or the names of their classes.")
        self.class_names = tuple(class_names or images.class_names)  # type: ignore[union-attr]
        self.positive_class = positive_class
        self.groups, self.names = (images.groups if groups is None and images else groups), names
        self.threshold = threshold
        self.n_bootstrap = n_bootstrap
        self.seed = seed
        self.tracker = tracker
        self.details = dict(details or {})
        self.evaluation: ClassificationEvaluation | None = None
        chosen = images.near_duplicates if exclude is None and images else exclude
        self._exclude = _numbers(chosen or (), names)
        self._gathered = GatheredPredictions()

    def attach(self, engine: Engine) -> None:
        """Gather in all iterations of an evaluation, judge at its end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._gathered.reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._judge)

    @property
    def chosen_threshold(self) -> float | None:
        """That of the last evaluation; None before it, or where there is none."""
        return None if self.evaluation is None else self.evaluation.predictions.threshold

    def _gather(self, engine: Engine) -> None:
        self._gathered.update(engine.state.output)

    def _judge(self, engine: Engine) -> None:
        lengths = [len(sequence) for sequence in (self.names, self.groups) if sequence is not None]
        predictions, labels = self._gathered.all(lengths[0] if lengths else _length(engine))
        if any(count != len(labels) for count in lengths) or any(number >= len(labels) for number in self._exclude):
            raise ValueError(
                f"Names, groups and excluded images belong to the images of the evaluation, in the loader's order:"
                f" {len(labels)} were judged, {' and '.join(map(str, lengths)) or 'no'} names or groups are given. Do"
                " not shuffle, and take them from the same section."
            )
        probabilities = as_probabilities(predictions).numpy()
        threshold = self._chosen_threshold(probabilities, labels.numpy())
        n_bootstrap = 0 if self.folder is None else self.n_bootstrap
        evaluation = evaluate_classification(
            probabilities,
            labels.numpy(),
            class_names=self.class_names,
            positive_class=self.positive_class,
            groups=self.groups,
            threshold=threshold,
            n_bootstrap=n_bootstrap,
            seed=self.seed,
        )
        keep = np.isin(np.arange(len(labels)), self._exclude, invert=True)
        rest = None
        if self._exclude:
            rest = evaluate_predictions(evaluation.predictions.part(keep), n_bootstrap=n_bootstrap, seed=self.seed)
        self.evaluation = evaluation
        engine.state.metrics.update(metric_numbers(evaluation.metrics))
        if evaluation.predictions.threshold is not None:
            engine.state.metrics["threshold"] = evaluation.predictions.threshold
        if rest is not None:
            engine.state.metrics.update(metric_numbers(rest.metrics, "_without_excluded"))
        if self.folder is not None and process_rank() == 0:
            self._write(self.folder, evaluation, rest, keep)

    def _chosen_threshold(self, probabilities: np.ndarray, labels: np.ndarray) -> float | None:
        if isinstance(self.threshold, ClassificationResults):
            if self.threshold.evaluation is None:
                raise ValueError("The threshold is that of another evaluation, which has not run yet: run it before.")
            return self.threshold.evaluation.predictions.threshold
        if self.threshold == "choose":
            if self.folder is None:
                return None
            return choose_threshold(
                probabilities, labels, positive_class=str(self.positive_class), class_names=self.class_names
            )
        return _read_threshold(self.threshold) if isinstance(self.threshold, str | Path) else self.threshold

    def _write(
        self,
        folder: Path,
        evaluation: ClassificationEvaluation,
        rest: ClassificationEvaluation | None,
        keep: np.ndarray,
    ) -> None:
        columns: dict[str, Sequence[Any]] = {}
        if self.names is not None:
            columns["name"] = self.names
        if self.groups is not None:
            columns["group"] = self.groups
        if rest is not None:
            columns["excluded"] = (~keep).astype(int).tolist()
        write_classification_files(folder, evaluation, columns=columns, without_excluded=rest, details=self.details)
        logger.info("Classification results of %d images are in %s:\n%s", len(keep), folder, _as_text(evaluation, rest))
        if self.tracker is not None:
            tables = [table for table in TABLES if self.names is None or table != "predictions.csv"]
            log_result_files(self.tracker, folder, pictures=PICTURES, tables=tables)


def _numbers(exclude: Collection[str | int], names: Sequence[str] | None) -> list[int]:
    places = {name: number for number, name in enumerate(names or ())}
    unknown = [item for item in exclude if (item not in places if isinstance(item, str) else item < 0)]
    if unknown:
        raise ValueError(
            f"{len(unknown)} images to exclude are not among the {len(places)} names of the evaluated images:"
            f" {', '.join(map(repr, unknown[:3]))}. Give names of this section, with `names`, or numbers from 0."
        )
    return sorted({places[item] if isinstance(item, str) else int(item) for item in exclude})


def _length(engine: Engine) -> int | None:
    """How many images the data set has, where the loader tells."""
    loader = engine.state.dataloader
    dataset: Any = getattr(loader, "dataset", None)
    return len(dataset) if hasattr(dataset, "__len__") else None


def _read_threshold(path: str | Path) -> float:
    try:
        return float(read_json(path)["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"No threshold can be read from {path} ({error!r}). Give a number, 'choose' for the validation section, or"
            " the metrics.json of an evaluation that chose it."
        ) from error


def _as_text(evaluation: ClassificationEvaluation, rest: ClassificationEvaluation | None) -> str:
    lines = []
    for name, estimate in evaluation.metrics.items():
        beside = "" if rest is None else f"   without the excluded images {rest.metrics[name]}"
        lines.append(f"{name:18s} {estimate}{beside}")
    return "\n".join(lines)


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
