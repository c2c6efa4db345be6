"""Time and memory a file of ingestion for trees of many small files: ``python benchmarks/ingest_many_files.py``.

Of twenty files one is a small DICOM slice, one a picture, and the others are notes, in folders of a hundred. A quarter
of the files is ingested first, then all of them into another store, then all of them again, which reads nothing. Where
time and memory a file are the same for both trees, nothing is quadratic. Times are of processors, of this process and
its workers, since other work on the machine does not change them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_ext.data.ingestion.ingest import ingest
from monai_ext.data.phantoms.dicom import write_dicom_series
from monai_ext.data.phantoms.series import PhantomSeries

_FOLDER, _SLICES = 100, 5


def make_tree(folder: Path, *, files: int) -> None:
    """Write folders of a hundred files."""
    generator = np.random.default_rng(0)
    for number in range(files // _FOLDER):
        place = folder / f"{number // 100:03d}" / f"{number % 100:02d}"
        place.mkdir(parents=True)
        volume = generator.integers(-1000, 1000, (_SLICES, 16, 16)).astype(np.int16)
        positions = tuple(2.5 * index for index in range(_SLICES))
        write_dicom_series(
            PhantomSeries(volume, "thorax", "SOFT", 1.0, positions, 2.5, (0.0, 0.0)), place, number=number
        )
        for other in range(_FOLDER - _SLICES):
            if other < _SLICES:
                Image.fromarray(generator.integers(0, 255, (8, 8)).astype(np.uint8)).save(place / f"{other}.png")
            else:
                (place / f"note {other}").write_text("neither picture nor scan")


def measure(source: Path, store: Path, results: Any) -> None:
    """Ingest in this process, which was made for it, so that its memory is that of the ingestion."""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    report = ingest(source, store, workers=2, key_file=store.parent / "pseudonym.key")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(usage.ru_utime + usage.ru_stime for usage in used)
    results.put(
        {
            "files": report.files,
            "looked at": report.looked_at,
            "stored": report.stored,
            "processor ms a file": round(1000 * seconds / report.files, 3),
            "seconds": round(time.perf_counter() - started),
            "main process, KiB a file": round((used[0].ru_maxrss - before) / report.files, 2),
            "largest worker, MiB": round(used[1].ru_maxrss / 1024),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where to make the trees, such as /dev/shm")
    options = parser.parse_args()
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        home = Path(name)
        for files, store in ((options.files // 4, "quarter"), (options.files, "all"), (options.files, "all")):
            source = home / f"source{files}"
            if not source.exists():
                make_tree(source, files=files)
            results = context.Queue()
            process = context.Process(target=measure, args=(source, home / store, results))
            process.start()
            sys.stdout.write(json.dumps(results.get()) + "\n")
            sys.stdout.flush()
            process.join()


if __name__ == "__main__":
    main()
