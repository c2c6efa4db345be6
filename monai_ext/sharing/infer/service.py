"""Answer studies: a folder once, or whatever arrives at a port, and send the answers to a PACS."""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from monai_ext.errors import DatasetError, PacsError
from monai_ext.sharing.infer.answering import Network, answer_folder
from monai_ext.sharing.infer.answers import Answers
from monai_ext.sharing.infer.dicom_objects import dicom_objects, segmented_objects
from monai_ext.sharing.infer.listening import Receiver
from monai_ext.sharing.infer.pacs import PacsAddress, send_objects
from monai_ext.sharing.infer.segmenting import SegmentedAnswers, segment_folder
from monai_ext.sharing.infer.writing import check_output, write_answers
from monai_ext.sharing.trained_classifier import TrainedClassifier
from monai_ext.sharing.trained_segmenter import TrainedSegmenter

__all__ = ["Outcome", "Service"]

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """What became of a folder: its answers, where they lie, notes for people, and how many objects the PACS took."""

    answers: Answers | SegmentedAnswers
    folder: Path
    notes: list[str]
    sent: int


@dataclass(frozen=True)
class Service:
    """Answers folders with one model.

    Args:
        model: that answers.
        device: where to run it.
        with_dicom: whether reports and pages are made.
        pacs: where to send them; nowhere when None.
        file_names: whether the table of files names them; else it numbers them.
    """

    model: TrainedClassifier | TrainedSegmenter
    device: torch.device | str = "cpu"
    with_dicom: bool = True
    pacs: PacsAddress | None = None
    file_names: bool = True

    def answer(self, source: Path, output: Path, progress: Callable[[int, int], None] | None = None) -> Outcome:
        """Answer a folder, write the answers, then send them.

        Raises:
            DatasetError: there is nothing to answer, or the output cannot be written.
            PacsError: the PACS did not take them; they are written all the same.
        """
        check_output(output, source)
        answers, objects, notes = self._answered(source, progress)
        written = write_answers(
            answers, output, source=source, objects=objects, notes=notes, file_names=self.file_names
        )
        contents = [content for _, content in objects]
        sent = send_objects(contents, self.pacs) if self.pacs is not None and contents else 0
        return Outcome(answers, written, notes, sent)

    def _answered(
        self, source: Path, progress: Callable[[int, int], None] | None
    ) -> tuple[Answers | SegmentedAnswers, list[tuple[str, bytes]], list[str]]:
        if isinstance(self.model, TrainedSegmenter):
            marked = segment_folder(self.model, source, device=self.device, progress=progress)
            return (marked, *(segmented_objects(marked, self.model) if self.with_dicom else ([], [])))
        answers = answer_folder(self.model, source, device=self.device, progress=progress)
        return (answers, *(dicom_objects(answers, Network(self.model, self.device)) if self.with_dicom else ([], [])))

    def answer_arrivals(
        self, receiver: Receiver, stop: threading.Event, report: Callable[[Outcome | str], None]
    ) -> None:
        """Answer each association's files as they arrive, until told to stop; one that fails does not end it.

        What was answered is deleted; what cannot be answered, or not be sent, is kept in ``failed``. A process that was
        killed in between may have written or sent answers: they are made, and sent, again.

        Args:
            receiver: that is listening.
            stop: set to end, after what has arrived by then.
            report: called with each outcome, or with a sentence about what failed.
        """
        while not (stop.is_set() and receiver.arrived.empty()):
            try:
                arrived = receiver.arrived.get(timeout=_WAIT_SECONDS)
            except queue.Empty:
                continue
            answers = receiver.folder / "answers" / arrived.name
            shutil.rmtree(answers, ignore_errors=True)  # of a process that was killed before it deleted what arrived
            try:
                outcome = self.answer(arrived, answers)
            except Exception as error:  # whatever somebody sends must not keep others from being answered
                if not isinstance(error, DatasetError | PacsError):
                    logger.exception("What arrived as %s could not be answered.", arrived.name)
                failed = receiver.folder / "failed" / arrived.name
                failed.parent.mkdir(exist_ok=True)
                shutil.move(arrived, failed)
                report(f"{str(error) or type(error).__name__} What arrived is kept in {failed}.")
            else:
                shutil.rmtree(arrived, ignore_errors=True)
                report(outcome)
