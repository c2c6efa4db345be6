"""Judge a segmentation at the end of an evaluation, at the images' own size, and write what there is to see."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed
from ignite.engine import Engine, Events
from torch.nn.functional import interpolate

from monai_ext.data import SegmentedImages
from monai_ext.data.segmented.masked_data import MaskedSlice
from monai_ext.handlers.result_files import ResultsWriting, log_result_files, metric_numbers
from monai_ext.handlers.segmentation_files import PICTURES, TABLES, SegmentedCase, write_segmentation_files
from monai_ext.metrics import CaseScores, SegmentationEvaluation, evaluate_segmentation, score_case
from monai_ext.parallel.processes import process_count, process_rank

if TYPE_CHECKING:
    from monai_ext.tracking import MLflowTracker

__all__ = ["SegmentationResults"]

logger = logging.getLogger(__name__)


class SegmentationResults(ResultsWriting):
    """Gather ``pred`` of an evaluation's outputs and judge it when it ends, case by case.

    Logits (B, K, S, S) become probabilities, are brought back to each image's own size bilinearly, and the likeliest
    class of each pixel is compared with the mask as it was drawn: nothing is judged at the network's size. Slices of a
    volume are put together and judged as one case, in mm. The metrics (see
    :func:`~monai_ext.metrics.evaluate_segmentation`) go into the evaluator's ``state.metrics``: ``dice``,
    ``volume_error``, ``volume_bias``, ``missed``, ``false_alarms``, with files also ``nsd``; where there are intervals,
    also ``<name>_low`` and ``<name>_high``; where images resemble one of an earlier section, each a second time without
    their cases, as ``<name>_without_excluded``.

    With an ``output_dir`` it writes ``metrics.json``, ``metrics.csv``, ``per_class.csv``, ``per_case.csv`` and the
    pictures ``overlays.png`` and ``sizes.png``. In a distributed run every process has the same metrics, and the first
    writes.

    Args:
        output_dir: folder of the files; it is made. None writes nothing, makes no intervals and leaves the surfaces
            out: for validation during training.
        images: that are judged, in the order of the evaluator's data set.
        tolerance: of the surfaces, in mm, or in pixels where the spacing is not known.
        n_bootstrap: resamples for the intervals.
        seed: of the resamples.
        tracker: logs pictures and tables besides.
        details: plain values to keep in ``metrics.json``, such as the data and the model.

    Raises:
        ValueError: the tolerance is negative; and at the end of an evaluation, when an image was not predicted.
    """

    def __init__(
        self,
        output_dir: str | Path | None = None,
        *,
        images: SegmentedImages,
        tolerance: float = 2.0,
        n_bootstrap: int = 2000,
        seed: int = 0,
        tracker: MLflowTracker | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        if tolerance < 0:
            raise ValueError(f"The tolerance of surfaces is a distance of 0 or more; received {tolerance}.")
        self.folder = None if output_dir is None else Path(output_dir)
        self.images = images
        self.tolerance = tolerance
        self.n_bootstrap = n_bootstrap
        self.seed = seed
        self.tracker = tracker
        self.details = dict(details or {})
        self.evaluation: SegmentationEvaluation | None = None
        self.chosen_threshold: float | None = None
        """There is none: a pixel has its likeliest class."""
        self._predicted: dict[int, MaskedSlice] = {}

    def attach(self, engine: Engine) -> None:
        """Gather in all iterations of an evaluation, judge at its end."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._gather)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._judge)

    def _reset(self) -> None:
        self._predicted = {}

    def _gather(self, engine: Engine) -> None:
        logits, batch = torch.as_tensor(engine.state.output["pred"]), engine.state.batch  # type: ignore[index]
        if logits.ndim != 4 or logits.shape[1] != len(self.images.class_names):
            raise ValueError(
                f"A segmentation of {', '.join(self.images.class_names)} is judged by 'pred' of shape (B, K, H, W) with"
                f" K = {len(self.images.class_names)}; received {tuple(logits.shape)}."
            )
        shares = logits.detach().float().softmax(dim=1)
        for index, share in zip(torch.as_tensor(batch["index"]).tolist(), shares, strict=True):  # type: ignore[index]
            mask = self.images.masks[index]
            sized = interpolate(share[None], mask.shape, mode="bilinear", align_corners=False)[0]
            numbers = sized.argmax(dim=0).to(torch.uint8).cpu().numpy()
            self._predicted[index] = MaskedSlice.of(numbers, case=mask.case, spacing_mm=mask.spacing_mm)

    def _judge(self, engine: Engine) -> None:
        self._share()
        missing = len(self.images) - len(self._predicted)
        if missing:
            raise ValueError(
                f"{missing} of {len(self.images)} images of the section {self.images.section!r} were not predicted:"
                " give the handler the images of the evaluator's own data set."
            )
        cases = self._cases()
        scores = [self._scores(case) for case in cases]
        evaluation = self._evaluate(cases, scores)
        kept = [number for number, case in enumerate(cases) if not case.resembles]
        rest = None
        if 0 < len(kept) < len(cases):
            rest = self._evaluate([cases[number] for number in kept], [scores[number] for number in kept])
        self.evaluation = evaluation
        engine.state.metrics.update(metric_numbers(evaluation.metrics))
        if rest is not None:
            engine.state.metrics.update(metric_numbers(rest.metrics, "_without_excluded"))
        if self.folder is not None and process_rank() == 0:
            self._write(self.folder, evaluation, rest, cases)

    def _share(self) -> None:
        """Every process gets the predictions of all."""
        if process_count() > 1:
            shares: list[Any] = [None] * process_count()
            torch.distributed.all_gather_object(shares, self._predicted)
            self._predicted = {index: share for part in shares for index, share in part.items()}

    def _cases(self) -> list[SegmentedCase]:
        numbers: dict[str, list[int]] = {}
        for index, mask in enumerate(self.images.masks):
            numbers.setdefault(mask.case, []).append(index)
        resembling = set(self.images.near_duplicates)
        return [
            SegmentedCase(
                indices=tuple(indices),
                group=self.images.groups[indices[0]],
                resembles=bool(resembling & set(indices)),
                predicted=np.stack([self._predicted[index].numbers for index in indices]),
                reference=np.stack([self.images.masks[index].numbers for index in indices]),
            )
            for indices in numbers.values()
        ]

    def _scores(self, case: SegmentedCase) -> CaseScores:
        sides = self.images.masks[case.indices[0]].spacing_mm
        return score_case(
            case.predicted,
            case.reference,
            classes=len(self.images.class_names),
            spacing_mm=None if sides is None else (sides[2], sides[0], sides[1]),
            tolerance=None if self.folder is None else self.tolerance,
        )

    def _evaluate(self, cases: list[SegmentedCase], scores: list[CaseScores]) -> SegmentationEvaluation:
        return evaluate_segmentation(
            scores,
            class_names=self.images.class_names,
            groups=[case.group for case in cases],
            tolerance=self.tolerance,
            n_bootstrap=0 if self.folder is None else self.n_bootstrap,
            seed=self.seed,
        )

    def _write(
        self,
        folder: Path,
        evaluation: SegmentationEvaluation,
        rest: SegmentationEvaluation | None,
        cases: list[SegmentedCase],
    ) -> None:
        write_segmentation_files(
            folder, evaluation, cases=cases, images=self.images, without_excluded=rest, details=self.details
        )
        lines = "\n".join(f"{name:18s} {estimate}" for name, estimate in evaluation.metrics.items())
        logger.info("Segmentation results of %d cases are in %s:\n%s", len(cases), folder, lines)
        if self.tracker is not None:
            log_result_files(self.tracker, folder, pictures=PICTURES, tables=TABLES)
