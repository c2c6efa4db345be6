"""How long a slice store with very many slices takes to open: a synthetic index without pixels.

Run ``python benchmarks/store_opening.py --slices 1000000``. It reports milliseconds (median of 5, after the libraries
are imported) for opening the store, for what the first read needs besides, for the patients' column and for the whole
index.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from monai_ext.data.store.format import PENDING, Manifest
from monai_ext.data.store.index import merge_pending, pack_pending, pending_file
from monai_ext.data.store.reader import SliceStore

SLICES_A_SERIES = 250


def make_store(folder: Path, *, slices: int) -> None:
    """An index of ``slices`` slices in series of 250, two series a patient, as a real ingestion would leave it."""
    (folder / PENDING).mkdir(parents=True)
    (folder / "index").mkdir()
    Manifest("ct").save(folder)
    for number in range(-(-slices // SLICES_A_SERIES)):
        series_id = hashlib.sha256(f"series {number}".encode()).hexdigest()[:32]
        count = min(SLICES_A_SERIES, slices - number * SLICES_A_SERIES)
        rows = [_row(number, position) for position in range(count)]
        pending_file(folder, series_id).write_bytes(pack_pending(_series(series_id, count), rows))
    merge_pending(folder)


def _row(series: int, position: int) -> dict[str, object]:
    patient_id = hashlib.sha256(f"patient {series // 2}".encode()).hexdigest()[:32]
    geometry = {"position_mm": -300 + 1.25 * position, "row_spacing_mm": 0.703125, "column_spacing_mm": 0.703125}
    return {"patient_id": patient_id, **geometry, "slice_thickness_mm": 1.25, "kernel": "B30f", "modality": "CT"}


def _series(series_id: str, count: int) -> dict[str, object]:
    lengths = [150_000 + 37 * (number % 1000) for number in range(count)]
    return {
        "series_id": series_id,
        "slices": count,
        "rows": 512,
        "columns": 512,
        "offsets": [200 + sum(lengths[:number]) for number in range(count)],
        "lengths": lengths,
        "checksums": [(number * 2654435761) % 2**32 for number in range(count)],
        "sha256": hashlib.sha256(series_id.encode()).hexdigest(),
        "provenance": "{}",
    }


def milliseconds(action: Callable[[], object], *, repeats: int = 5) -> float:
    """Median wall time of ``action``."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    """Make the store in a temporary folder and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=1_000_000)
    slices = parser.parse_args().slices
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "store")
        make_store(store, slices=slices)
        SliceStore(store)
        actions: dict[str, Callable[[], object]] = {
            "open": lambda: SliceStore(store),
            "places of all chunks (at the first read)": lambda: SliceStore(store)._chunks,
            "content hash": lambda: SliceStore(store).content_hash,
            "patient of every slice": lambda: SliceStore(store).columns(["patient_id"]),
            "whole index as a DataFrame": lambda: SliceStore(store).index,
        }
        print(f"{len(SliceStore(store))} slices in {len(SliceStore(store).series_ids)} series")
        for name, action in actions.items():
            print(f"{name:45s} {milliseconds(action):9.1f} ms")


if __name__ == "__main__":
    main()
