"""Slices per second of ingestion, against the recipe of the study: read, stretch each slice to 8 bit, write a PNG.

Run ``python benchmarks/ingest.py FOLDER --copies 20 --workers 2``. Both get the same DICOM files (copies are given UIDs
of their own, so that they are different series) and take turns; the medians are compared. The recipe throws away the
Hounsfield units and runs in one process, as published; ingestion keeps them, checks what it reads, and syncs to disk.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread

from monai_ext.data.dicom import find_series
from monai_ext.data.ingestion.ingest import ingest


def copy_series(source: Path, folder: Path, *, copies: int) -> list[Path]:
    """Write the slices of every CT series ``copies`` times, each time as a series of another patient."""
    files = []
    for number, series in enumerate(find_series(source).series):
        for place, dicom_slice in enumerate(series.slices):
            dataset = dcmread(dicom_slice.path)
            for copy in range(copies):
                dataset.PatientID = f"patient {copy}"
                dataset.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.1.{number}.{copy}"
                dataset.SOPInstanceUID = f"1.2.826.0.1.3680043.8.498.2.{number}.{copy}.{place}"
                file = folder / f"{copy:03d}" / f"{number}" / f"{place:04d}.dcm"
                file.parent.mkdir(parents=True, exist_ok=True)
                dataset.save_as(file)
                files.append(file)
    return files


def recipe(files: list[Path], folder: Path) -> None:
    """What the study does: one process, per-slice minimum and maximum, 8-bit PNG."""
    for number, file in enumerate(files):
        pixels = dcmread(file).pixel_array.astype(float)
        stretched = 255 * (pixels - pixels.min()) / (pixels.max() - pixels.min())
        Image.fromarray(stretched.astype(np.uint8)).save(folder / f"{number}.png")


def measure(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds, child processes included; what was written before is on the disk already."""
    os.sync()
    cpu, wall = _cpu(), time.perf_counter()
    action()
    return time.perf_counter() - wall, _cpu() - cpu


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _bytes_below(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> None:
    """Measure in a temporary folder and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with CT series")
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {"recipe": [], "ingestion": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = copy_series(options.source, folder / "source", copies=options.copies)
        print(f"{len(files)} slices, {_bytes_below(folder) / 1e6:.0f} MB", file=sys.stderr)
        for turn in range(options.repeats):
            pictures, store = folder / f"png{turn}", folder / f"store{turn}"
            pictures.mkdir()
            seconds["recipe"].append(measure(lambda to=pictures: recipe(files, to)))
            seconds["ingestion"].append(
                measure(
                    lambda to=store: ingest(
                        folder / "source", to, workers=options.workers, key_file=folder / "pseudonym.key"
                    )
                )
            )
        sizes = {"recipe": _bytes_below(folder / "png0"), "ingestion": _bytes_below(folder / "store0")}
    for which, times in seconds.items():
        wall, cpu = (statistics.median(values) for values in zip(*times, strict=True))
        print(
            f"{which:10s} {len(files) / wall:7.1f} slices/s wall, {1000 * cpu / len(files):6.1f} ms processor a slice,"
            f" {sizes[which] / 1e6:7.1f} MB"
        )
    ratios = [recipe_s[0] / ours_s[0] for recipe_s, ours_s in zip(*seconds.values(), strict=True)]
    print(f"ratio of wall times: {statistics.median(ratios):.2f} (each turn: {', '.join(f'{r:.2f}' for r in ratios)})")


if __name__ == "__main__":
    main()
