"""``python -m monai_ext study``: which pre-training helps with few labels: run, plan, status, report, clean.

A plan names methods, tasks, numbers of labels, folds and seeds. Every cell of that grid is a training of a bundle, or a
probe on features, and leaves a record; run again, the study does what is missing. The report is made of records alone.

Example:
  python -m monai_ext study plan studies/demo.json
  python -m monai_ext study run studies/demo.json --workers 2
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ext.cli._parser import add_subcommand, command_parser

if TYPE_CHECKING:
    from monai_ext.study.cells.cell import Cell
    from monai_ext.study.executors.job import Executor
    from monai_ext.study.plan import StudyPlan
    from monai_ext.study.records import StudyFolder
    from monai_ext.study.runner import StudyResult

__all__ = ["main"]

_HOME = Path("study_results")
_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("mlflow", "alembic", "matplotlib", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("study", __doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = add_subcommand(commands, "run", "compute what has no record yet, then write the report")
    run.set_defaults(run=_run)
    _add_plan(run)
    run.add_argument("--workers", type=int, default=1, metavar="N", help="cells at a time (1)")
    run.add_argument("--threads", type=int, default=1, metavar="N", help="of torch in each (1)")
    run.add_argument("--memory-limit", type=float, metavar="MIB", help="ends a cell's process that uses more")
    run.add_argument("--devices", nargs="+", metavar="D", help="such as cuda:0 cuda:1, shared by the workers in turn")
    run.add_argument("--executor", choices=("local", "ray"), default="local", help="processes, or Ray (local)")
    run.add_argument("--ray-address", metavar="HOST:PORT", help="of a running Ray cluster; else one is started here")
    run.add_argument("--ray-gpus", type=float, default=0.0, metavar="N", help="of each job on Ray, such as 0.25 (0)")
    run.add_argument("--no-tracking", action="store_true", help="log nothing to MLflow")
    run.add_argument("--no-report", action="store_true", help="write records only")
    plan = add_subcommand(commands, "plan", "what a run would do: cells, hours, disk")
    plan.set_defaults(run=_plan)
    _add_plan(plan)
    plan.add_argument("--workers", type=int, default=1, metavar="N", help="cells at a time (1)")
    plan.add_argument("--no-timing", action="store_true", help="do not time cells, only count them")
    for name, work, text in (
        ("status", _status, "progress, rate, time left, failures"),
        ("report", _report, "write the report anew from the records"),
        ("clean", _clean, "delete what can be made again"),
    ):
        command = add_subcommand(commands, name, text)
        command.set_defaults(run=work)
        command.add_argument("study", metavar="STUDY", help="the plan, or the folder of its results")
        command.add_argument("--output", metavar="DIR", help="folder of the results, where it is not the usual one")
        if name == "clean":
            command.add_argument("--records", action="store_true", help="also records that the plan does not use")
    return parser


def _add_plan(command: argparse.ArgumentParser) -> None:
    command.add_argument("plan", metavar="PLAN", help="JSON file, such as studies/demo.json")
    command.add_argument("--output", metavar="DIR", help="folder of the results (study_results/NAME)")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="changes the plan: tasks::CT::dataset_dir=/data"
    )
    for what in ("data", "encoders"):
        explanation = f"where the plan's relative paths of {what} are; the first folder that has one counts"
        command.add_argument(f"--{what}", nargs="+", default=[], metavar="DIR", help=explanation)
    for what in ("protocols", "methods", "tasks"):
        command.add_argument(f"--{what}", nargs="+", metavar="NAME", help=f"only these {what} of the plan")


def _read_plan(options: argparse.Namespace) -> StudyPlan:
    """The plan, or the part of it that was asked for."""
    from monai_ext.study.plan import narrowed, read_plan

    plan = read_plan(options.plan, settings=options.set, data=options.data, encoders=options.encoders)
    return narrowed(plan, protocols=options.protocols, methods=options.methods, tasks=options.tasks)


def _run(options: argparse.Namespace) -> int:
    from monai_ext.cli._progress import progress_bar
    from monai_ext.study.preparation import prepare
    from monai_ext.study.records import StudyFolder
    from monai_ext.study.runner import run_study
    from monai_ext.study.tracking import StudyTracking

    plan = _read_plan(options)
    folder = StudyFolder(options.output or _HOME / plan.name)
    executor = _executor(options)
    with folder.locked():
        folder.adopt(plan.name)
        study = prepare(plan, folder)
        folder.keep_plan(asdict(plan))
        for warning in study.warnings:
            sys.stderr.write(f"Note: {warning}\n")
        expected = len({cell.name for cell in [*study.pretraining, *study.expected()]})
        parameters = {"plan": Path(options.plan).name, "cells": expected, "workers": options.workers}
        with StudyTracking(plan.name, folder, parameters=parameters, enabled=not options.no_tracking) as tracking:
            with progress_bar(expected, doing=f"Study {plan.name}", unit=" cells") as bar:

                def finished(cell: Cell) -> None:
                    bar.update()
                    tracking.log_cell(cell)

                result = run_study(study, executor, finished=finished, reused=bar.update)
            tracking.failed_cells = len(result.failed)
            if not options.no_report:
                for file in _write_report(folder):
                    tracking.log_report(file)
    return _summary(result, folder)


def _executor(options: argparse.Namespace) -> Executor:
    from monai_ext.study.executors import LocalExecutor, RayExecutor

    shared = {"workers": options.workers, "memory_limit_mib": options.memory_limit, "threads": options.threads}
    if options.executor == "ray":
        return RayExecutor(address=options.ray_address, gpus=options.ray_gpus, **shared)
    return LocalExecutor(devices=options.devices, **shared)


def _summary(result: StudyResult, folder: StudyFolder) -> int:
    total = len({cell.name for cell in result.cells})
    sys.stdout.write(
        f"{total} cells: {len(result.reused)} had records already, {len(result.computed)} were computed,"
        f" {len(result.failed)} failed. Records are in {folder.records}.\n"
    )
    for name, reason in list(result.failed.items())[:_SHOWN]:
        label = next((cell.label for cell in result.cells if cell.name == name), name)
        sys.stdout.write(f"  failed: {label}: {reason}\n")
    return 1 if result.failed else 0


def _plan(options: argparse.Namespace) -> int:
    from monai_ext.study.estimation import estimate_study
    from monai_ext.study.executors import LocalExecutor
    from monai_ext.study.preparation import prepare
    from monai_ext.study.records import StudyFolder

    plan = _read_plan(options)
    folder = StudyFolder(options.output or _HOME / plan.name)
    study = prepare(plan, folder)
    for warning in study.warnings:
        sys.stdout.write(f"Note: {warning}\n")
    executor = None if options.no_timing else LocalExecutor()
    parts = estimate_study(study, executor, timing=lambda part: sys.stderr.write(f"Timing {part} ...\n"))
    lines = [f"{'':14s}{'':28s}{'cells':>8s}{'missing':>9s}{'hours':>9s}{'MB':>8s}"]
    for part in parts:
        hours = "?" if part.seconds is None else f"{part.seconds / 3600 / options.workers:.2f}"
        lines.append(
            f"{part.protocol:14s}{part.of:28s}{part.cells:8d}{part.missing:9d}{hours:>9s}{part.disk_bytes / 1e6:8.1f}"
            f"   {part.basis}"
        )
    known = sum(part.seconds or 0.0 for part in parts) / 3600 / options.workers
    more = "" if all(part.seconds is not None for part in parts) else ", and what was not timed"
    lines.append(
        f"{sum(part.cells for part in parts)} cells, {sum(part.missing for part in parts)} of them missing: about"
        f" {known:.2f} hours with {options.workers} worker(s){more}, and"
        f" {sum(part.disk_bytes for part in parts) / 1e6:.0f} MB of records and encoders."
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _status(options: argparse.Namespace) -> int:
    from monai_ext.study.status import study_status

    status = study_status(_folder(options))
    for (protocol, of), total in status.total.items():
        sys.stdout.write(f"{protocol:14s}{of:28s}{status.done.get((protocol, of), 0):6d} of {total}\n")
    rate = "" if status.cells_per_hour is None else f", {status.cells_per_hour:.0f} cells an hour"
    left = "" if not status.hours_left else f", {status.hours_left:.2f} hours left"
    sys.stdout.write(f"{status.count} of {status.all} cells have records{rate}{left}; {len(status.failed)} failed.\n")
    for label, reason in list(status.failed.items())[:_SHOWN]:
        sys.stdout.write(f"  failed: {label}: {reason}\n")
    return 0


def _report(options: argparse.Namespace) -> int:
    _write_report(_folder(options))
    return 0


def _clean(options: argparse.Namespace) -> int:
    from monai_ext.study.cleaning import clean_study

    folder = _folder(options)
    with folder.locked():
        freed = clean_study(folder, records=options.records)
    for part, size in freed.items():
        sys.stdout.write(f"{part}: {size / 1e6:.1f} MB deleted\n")
    sys.stdout.write("The records of the plan, its encoders, splits and report stay.\n")
    return 0


def _folder(options: argparse.Namespace) -> StudyFolder:
    """The folder that is named, or that of the plan that is named."""
    from monai_ext.study.plan import read_plan
    from monai_ext.study.records import StudyFolder

    if options.output:
        return StudyFolder(options.output)
    named = Path(options.study)
    if named.is_dir():
        return StudyFolder(named)
    return StudyFolder(_HOME / read_plan(named).name)


def _write_report(folder: StudyFolder) -> list[Path]:
    from monai_ext.cli._progress import advance, progress_bar
    from monai_ext.study.report import write_report

    with progress_bar(None, doing="Scoring records", unit=" records") as bar:
        files = write_report(folder, progress=advance(bar))
    sys.stdout.write(f"The report is {files[0]}.\n")
    return files
