"""Files per second of ingestion for pictures of many shapes, on this disk and on one that answers slowly.

Run ``python benchmarks/ingest_pictures.py --folder /dev/shm``. Pictures of one shape are stored as one series, so
that many shapes are many small series; what a disk takes for a sync then decides. ``--sync-ms 100`` makes every sync
of the process wait so long, SQLite's too: a library put before the C library (``LD_PRELOAD``, Linux, needs ``cc``)
sleeps in ``fsync`` and ``fdatasync``. ``--kills 10`` ends ingestions by SIGKILL at random moments, continues them,
and compares the store with one that was made undisturbed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from monai_ext.data.ingestion.ingest import ingest
from monai_ext.data.store.reader import SliceStore

_SLOW_SYNC = """
#include <dlfcn.h>
#include <unistd.h>
static int slow(const char *name, int fd) { usleep(SYNC_MS * 1000); return ((int (*)(int))dlsym(RTLD_NEXT, name))(fd); }
int fsync(int fd) { return slow("fsync", fd); }
int fdatasync(int fd) { return slow("fdatasync", fd); }
"""


def make_pictures(folder: Path, *, files: int, shapes: int) -> None:
    """Write smooth gray pictures with 200 to 500 pixels a side, of so many different shapes."""
    generator = np.random.default_rng(0)
    pairs = generator.choice(300 * 300, shapes, replace=False)
    for number in range(files):
        rows, columns = 200 + pairs[number % shapes] // 300, 200 + pairs[number % shapes] % 300
        coarse = Image.fromarray(generator.integers(0, 255, (12, 12)).astype(np.uint8))
        file = folder / f"{number % 20}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((int(columns), int(rows)), Image.Resampling.BICUBIC).save(file)


def slow_down(milliseconds: int, folder: Path) -> None:
    """Start this program anew with syncs that take so long."""
    source, library = folder / "slow_sync.c", folder / "slow_sync.so"
    source.write_text(f"#define _GNU_SOURCE\n#define SYNC_MS {milliseconds}\n{_SLOW_SYNC}")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    slowed = os.environ | {"LD_PRELOAD": str(library), "SLOW_SYNC": "1"}
    sys.exit(subprocess.run([sys.executable, *sys.argv], env=slowed).returncode)


def measure(source: Path, folder: Path, *, workers: int, repeats: int) -> list[float]:
    """Files per second of ingestions into new stores."""
    rates = []
    for _ in range(repeats):
        shutil.rmtree(folder, ignore_errors=True)
        started, before_s = time.perf_counter(), _processor_s()
        report = ingest(source, folder / "store", workers=workers, key_file=folder.parent / "pseudonym.key")
        rates.append(report.files / (time.perf_counter() - started))
        spent_ms = 1000 * (_processor_s() - before_s) / report.files
        print(
            f"{report.files} files, {report.series} series: {rates[-1]:.0f} files/s, {spent_ms:.2f} ms of processors a"
            " file",
            flush=True,
        )
    return rates


def _processor_s() -> float:
    """Seconds of processors, workers that have ended included."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def survive(source: Path, folder: Path, *, workers: int, kills: int, seconds: float) -> None:
    """Kill ingestions at random moments, go on, and compare with an undisturbed store."""
    generator, key, deaths = random.Random(0), folder.parent / "pseudonym.key", 0
    expected = SliceStore(folder / "store")
    disturbed = folder / "disturbed"
    while deaths < kills:
        process = multiprocessing.get_context("fork").Process(
            target=ingest, args=(source, disturbed), kwargs={"workers": workers, "key_file": key}
        )
        process.start()
        process.join(generator.uniform(0.2, seconds))
        if process.exitcode is None:
            process.kill()
            process.join()
            deaths += 1
        else:
            shutil.rmtree(disturbed)
            shutil.rmtree(folder / "disturbed.ingest")
    report = ingest(source, disturbed, workers=workers, key_file=key)
    found = SliceStore(disturbed)
    same = sorted(found.index.patient_id) == sorted(expected.index.patient_id)  # every picture is one of its own
    print(f"killed {deaths} times: {report.stored} files stored, {len(found)} slices, the same: {same}")
    if not same or report.stored != len(expected):
        sys.exit("slices were lost or stored twice")


def main() -> None:
    """Make pictures, or take those of a folder, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder with pictures; made when omitted")
    parser.add_argument("--folder", type=Path, help="where to write, on the disk to measure")
    parser.add_argument("--files", type=int, default=2600)
    parser.add_argument("--shapes", type=int, default=557)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sync-ms", type=int, default=0)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        if options.sync_ms and "SLOW_SYNC" not in os.environ:
            slow_down(options.sync_ms, Path(name))
        source = options.source or Path(name) / "source"
        if options.source is None:
            make_pictures(source, files=options.files, shapes=options.shapes)
        rates = measure(source, Path(name) / "out", workers=options.workers, repeats=options.repeats)
        print(f"median {sorted(rates)[len(rates) // 2]:.0f} files/s, syncs delayed by {options.sync_ms} ms")
        if options.kills:
            seconds = options.files / max(rates)
            survive(source, Path(name) / "out", workers=options.workers, kills=options.kills, seconds=seconds)


if __name__ == "__main__":
    main()
