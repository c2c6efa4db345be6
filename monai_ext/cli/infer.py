"""``python -m monai_ext infer``: answer every CT series of a folder with a trained model, as tables and DICOM.

Each series and study gets a probability, the call at the validated threshold, an interval, and warnings; from a
segmentation bundle it gets masks (DICOM SEG) with their volumes, and warnings. The bundle's configs are not evaluated,
and source files are only read. For research only; not for diagnosis.

Example:
  python -m monai_ext infer covid19.zip /data/dicom answers --to-pacs ARCHIVE@pacs.local:104
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ext.cli._classifier import add_classifier_options, chosen_model
from monai_ext.cli._parser import command_parser
from monai_ext.cli._progress import advance, progress_bar

if TYPE_CHECKING:
    from monai_ext.sharing.infer.answers import Answers
    from monai_ext.sharing.infer.segmenting import SegmentedAnswers
    from monai_ext.sharing.infer.service import Outcome, Service

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if len(options.folders) != (1 if options.listen else 2):
        parser.error("give SOURCE and OUT, or with --listen only OUT")
    from monai_ext.sharing.infer.pacs import parse_address
    from monai_ext.sharing.infer.service import Service

    pacs = parse_address(options.to_pacs) if options.to_pacs else None
    model = chosen_model(options)
    service = Service(model, options.device, not options.no_dicom, pacs, file_names=not options.no_file_names)
    if options.listen:
        return _listen(service, options)
    source, output = map(Path, options.folders)
    with progress_bar(None, doing="Answering", unit=" slices") as bar:
        outcome = service.answer(source, output, advance(bar))
    sys.stdout.write(_as_text(outcome))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("infer", __doc__)
    parser.usage = (
        "%(prog)s [options] BUNDLE_OR_ZIP SOURCE OUT\n       %(prog)s [options] BUNDLE_OR_ZIP OUT --listen PORT"
    )
    add_classifier_options(parser)
    parser.add_argument("folders", metavar="SOURCE OUT", nargs="+", help="folder with DICOM files; a new folder")
    parser.add_argument("--no-dicom", action="store_true", help="write tables only, no DICOM objects")
    parser.add_argument("--no-file-names", action="store_true", help="number files in files.csv instead of naming them")
    parser.add_argument("--to-pacs", metavar="AE@HOST:PORT", help="send reports and pages there by C-STORE")
    parser.add_argument("--listen", metavar="[HOST:]PORT", help="receive series there and answer them (host 127.0.0.1)")
    parser.add_argument("--ae-title", default="MONAI_EXT", help="by which this side is called (MONAI_EXT)")
    parser.add_argument("--accept-ae", action="append", default=[], metavar="AE", help="listen to this sender only")
    return parser


def _listen(service: Service, options: argparse.Namespace) -> int:
    """Receive and answer until the process is asked to end."""
    from monai_ext.sharing.infer.listening import Receiver

    host, _, port = options.listen.rpartition(":")
    if not port.isdigit():
        raise ValueError(f"{options.listen!r} is no port to listen on: expected is PORT or HOST:PORT.")
    receiver = Receiver(Path(options.folders[0]), title=options.ae_title, accepted=tuple(options.accept_ae))
    stop = threading.Event()
    handlers = {name: signal.signal(name, lambda *_: stop.set()) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        with receiver.listening(host or "127.0.0.1", int(port)) as listening_on:
            sys.stdout.write(f"Listening as {options.ae_title} on port {listening_on}; end with Ctrl-C.\n")
            sys.stdout.flush()
            service.answer_arrivals(receiver, stop, _tell)
    finally:
        for name, handler in handlers.items():
            signal.signal(name, handler)
    return 0


def _tell(outcome: Outcome | str) -> None:
    sys.stdout.write(f"{outcome}\n" if isinstance(outcome, str) else _as_text(outcome))
    sys.stdout.flush()


def _as_text(outcome: Outcome) -> str:
    answers = outcome.answers
    lines = [f"{answers.model['name']} {answers.model['version']}. Research use only; not for diagnosis."]
    for study, series_lines in _lines_of_studies(answers):
        lines += [f"study {study or 'without UID'}", *series_lines]
    counts: dict[str, int] = {}
    for file in answers.files:
        counts[file.outcome] = counts.get(file.outcome, 0) + 1
    lines.append("files: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items())))
    lines += [*outcome.notes, f"Written to {outcome.folder}."]
    lines += [f"The PACS took {outcome.sent} objects."] if outcome.sent else []
    return "\n".join(lines) + "\n"


def _lines_of_studies(answers: Answers | SegmentedAnswers) -> list[tuple[str, list[str]]]:
    """Of each study its UID, and lines about its series."""
    from monai_ext.sharing.infer.segmenting import SegmentedSeries

    studies: dict[str, list[str]] = {}
    for answer in answers.series:
        if isinstance(answer, SegmentedSeries):
            measured = {name: answer.volumes_ml[number] for number, name in answers.model["labels"].items()}
            found = ", ".join(f"{name} {'?' if ml is None else f'{ml:.1f}'} ml" for name, ml in measured.items())
        else:
            interval = f"{answer.probability:.3f} ({answer.low:.3f} to {answer.high:.3f})"
            found = f"{interval}, {answer.call or 'no call'}"
        lines = studies.setdefault(answer.study_uid, [])
        lines.append(f"  series {answer.series_uid}: {len(answer.slices)} slices, {found}")
        lines += [f"    warning: {warning.text}" for warning in answer.warnings]
    return list(studies.items())
