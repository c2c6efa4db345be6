"""Random reads of 512 x 512 slices: a slice store against 8-bit PNG files through Pillow.

Run ``python benchmarks/slice_loading.py [--source FOLDER_OF_DICOM] [--processes 2]``. Without a source, slices are made
up; noise decides how well slices compress, so real slices are the better measure. The store holds 12 to 16 bits,
PNG eight (every slice stretched by its own minimum and maximum, the study's recipe): PNG has the easier job. Both read
the same slices in the same random order from the operating system's cache, in turns; the fastest of 20 rounds counts,
the one that other programs on the machine disturbed least.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from monai_ext.data.store.reader import SliceStore, SliceStoreWriter

ROUNDS = 20


def load_slices(source: str | None, *, count: int) -> np.ndarray:
    """(n, 512, 512) int16 Hounsfield units from a folder of uncompressed CT, or made up."""
    if source is None:
        return _made_up(count)
    import pydicom

    slices = []
    for file in sorted(path for path in Path(source).rglob("*") if path.is_file()):
        try:
            dataset = pydicom.dcmread(file)
            values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        except (AttributeError, pydicom.errors.InvalidDicomError):
            continue
        if values.shape == (512, 512):
            slices.append(values.round().astype(np.int16))
    return np.stack(slices[:count])


def _made_up(count: int) -> np.ndarray:
    """Discs of tissue in air with the grain of a scanner (noise of 15 HU, smoothed)."""
    from scipy.ndimage import gaussian_filter

    generator = np.random.default_rng(0)
    row, column = np.mgrid[-1:1:512j, -1:1:512j]
    slices = np.empty((count, 512, 512), np.int16)
    for number in range(count):
        body = np.where(row**2 / 0.45 + column**2 / 0.7 < 1, 40.0, -1000.0)
        for x in (-0.35, 0.35):
            body[(row**2 / 0.16 + (column - x) ** 2 / 0.06) < 1] = -850
        noise = gaussian_filter(generator.normal(0, 45, body.shape), 1)
        slices[number] = gaussian_filter(body, 1) + noise
    return slices


def write_both(folder: Path, slices: np.ndarray) -> tuple[Path, list[Path]]:
    """The slices as a store, and as 8-bit PNG files."""
    store = folder / "store"
    with SliceStoreWriter.open(store, source_kind="ct") as writer:
        writer.add_series("benchmark", slices, [{"patient_id": "benchmark"}] * len(slices), {})
    pictures = []
    for number, pixels in enumerate(slices):
        lower, upper = int(pixels.min()), int(pixels.max())
        gray = ((pixels.astype(np.float32) - lower) / (upper - lower) * 255).astype(np.uint8)
        pictures.append(folder / f"{number:05d}.png")
        Image.fromarray(gray).save(pictures[-1])
    return store, pictures


def reads_a_second(read: Callable[[int], np.ndarray], order: np.ndarray) -> float:
    """Reads a second over one round."""
    start = time.perf_counter()
    for index in order:
        read(int(index))
    return len(order) / (time.perf_counter() - start)


def measure(store_path: Path, pictures: list[Path], reads: int, seed: int) -> tuple[float, float]:
    """Reads a second of the store and of the PNG files in this process, in the fastest round."""
    store = SliceStore(store_path)

    def from_png(index: int) -> np.ndarray:
        with Image.open(pictures[index]) as picture:
            return np.asarray(picture)

    rates: list[tuple[float, float]] = []
    generator = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        order = generator.integers(0, len(store), reads)
        rates.append((reads_a_second(store.read, order), reads_a_second(from_png, order)))
    return max(rate[0] for rate in rates), max(rate[1] for rate in rates)


def main() -> None:
    """Measure with one process and with several, and report sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", help="folder of uncompressed CT DICOM, 512 x 512")
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--reads", type=int, default=60, help="reads a round and process")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    slices = load_slices(options.source, count=options.slices)
    with tempfile.TemporaryDirectory() as folder:
        store, pictures = write_both(Path(folder), slices)
        for processes in sorted({1, options.processes}):
            tasks = [(store, pictures, options.reads, seed) for seed in range(processes)]
            with multiprocessing.get_context("fork").Pool(processes) as pool:
                rates = pool.starmap(measure, tasks)
            ours, png = (statistics.mean(rate[place] for rate in rates) for place in (0, 1))
            print(f"{processes} process(es): store {ours:6.0f}, PNG {png:6.0f} reads/s and process: {ours / png:.1f} x")
        stored = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
        png_size = sum(file.stat().st_size for file in pictures)
        print(
            f"{len(slices)} slices: raw int16 {slices.nbytes / 1e6:.1f} MB, store {stored / 1e6:.1f} MB"
            f" ({stored / slices.nbytes:.0%} of raw), 8-bit PNG {png_size / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
