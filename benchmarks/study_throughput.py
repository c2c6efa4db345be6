"""Cells an hour by the study against a loop of bundle runs: ``python benchmarks/study_throughput.py``.

The loop does what a person would: ``python -m monai.bundle run`` with train.json and then with evaluate.json for every
cell, one after the other. The study does the same fine-tuning cells with one worker, and probe cells of the same grid.
Rates are told by the clock and by processor time, since a machine that others use too slows one part more than another.
The start of the process that cells are forked from counts as fine-tuning.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from monai_ext.study.cells import Cell
from monai_ext.study.executors import LocalExecutor
from monai_ext.study.plan import parse_plan
from monai_ext.study.preparation import PreparedStudy, prepare
from monai_ext.study.records import StudyFolder
from monai_ext.study.runner import run_study

_TRAINING = {"epochs": 5, "head_only_epochs": 1, "batch_size": 8}


def prepared(home: Path, protocol: dict[str, object]) -> PreparedStudy:
    """A study of phantoms with one protocol."""
    ((name, _),) = protocol.items()
    plan = parse_plan(
        {
            "name": name,
            "methods": {"scratch": {}},
            "tasks": {"phantoms": {"bundle": "covid19_classification", "splits": {"folds": 4, "test": "each_fold"}}},
            "overrides": {"backbone": "resnet18", "image_size": 64},
            "per_class": [2, 4, 8],
            "protocols": protocol,
        }
    )
    return prepare(plan, StudyFolder(home / name))


class Rates:
    """Cells an hour, by the clock and by processor time, of what is done while this is entered."""

    def __enter__(self) -> Rates:
        self._clock, self._processor = time.perf_counter(), processor_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.clock_s = time.perf_counter() - self._clock
        self.processor_s = processor_seconds() - self._processor

    def of(self, cells: int) -> tuple[float, float]:
        """Of so many cells."""
        return 3600 * cells / self.clock_s, 3600 * cells / self.processor_s


def processor_seconds() -> float:
    """Of this process, of what it has waited for, and of the server that a study's processes are forked from."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + waited.ru_utime + waited.ru_stime
    for process in psutil.Process().children():
        used = process.cpu_times()
        total += used.user + used.system + used.children_user + used.children_system
    return total


def by_the_study(study: PreparedStudy) -> tuple[float, float]:
    """Cells an hour."""
    with Rates() as rates, study.folder.locked():
        result = run_study(study, LocalExecutor(workers=1))
    if result.failed:
        raise RuntimeError(f"Cells failed: {result.failed}")
    return rates.of(len(result.computed))


def by_a_loop(study: PreparedStudy, count: int) -> tuple[float, float]:
    """Cells an hour of the first ``count`` fine-tuning cells, run one after the other as a person runs them."""
    cells = [cell for cell in study.cells() if cell.protocol == "fine_tuning"][:count]
    with Rates() as rates:
        _train_and_judge(cells)
    return rates.of(len(cells))


def _train_and_judge(cells: list[Cell]) -> None:
    for cell in cells:
        with tempfile.TemporaryDirectory() as home:
            configs = Path(cell.paths["bundle"]) / "configs"
            places = ["--bundle_root", home, "--dataset_dir", cell.paths["dataset_dir"]]
            places += ["--splits", cell.paths["splits"], "--fold", str(cell.fold), "--num_workers", "0"]
            own = [part for key, value in cell.paths["overrides"].items() for part in (f"--{key}", str(value))]
            train = ["--section", cell.size, "--output_dir", f"{home}/run", "--train::tracker::enabled", "False"]
            (Path(home) / "run").mkdir()
            _run([str(configs / "train.json")], [*places, *own, *train])
            models = ["--models", f"{home}/run/model.pt", "--output_dir", f"{home}/eval", "--tracker::enabled", "False"]
            _run([str(configs / "train.json"), str(configs / "evaluate.json")], [*places, *models])


def _run(configs: list[str], options: list[str]) -> None:
    files = configs[0] if len(configs) == 1 else str(configs)
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", files, *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loop-cells", type=int, default=4, help="cells of the loop (4)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        fine_tuning = prepared(Path(home), {"fine_tuning": {"overrides": _TRAINING}})
        probe = prepared(Path(home), {"probe": {"subsets": 10}})
        rates = {
            "loop of bundle runs, fine-tuning": by_a_loop(fine_tuning, options.loop_cells),
            "study, fine-tuning": by_the_study(fine_tuning),
            "study, probes": by_the_study(probe),
        }
    loop = rates["loop of bundle runs, fine-tuning"]
    results = {
        name: {
            basis: f"{rate:.0f} cells an hour, {rate / other:.1f} times the loop"
            for basis, rate, other in zip(("by the clock", "by processor time"), both, loop, strict=True)
        }
        for name, both in rates.items()
    }
    sys.stdout.write(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
