"""Ingests mutated DICOM files and checks that every one is accounted for: no crash, no hang, memory bounded.

Run ``PYTHONPATH=tests python tests/fuzz/ingest_fuzz.py --files 2500 --seed 0``. With ``--originals FOLDER`` real files
are mutated as well. A small part with a fixed seed runs with the tests.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from helpers.dicom_mutations import mutated, originals
from monai_ext.data.ingestion.ingest import IngestOptions, IngestReport, ingest, list_skipped
from monai_ext.data.store.reader import SliceStore


@dataclass
class FuzzResult:
    """What happened to the files."""

    report: IngestReport
    outcomes: dict[str, Counter[str]]
    largest_worker_mib: float
    largest_main_mib: float
    looked_at_again: int


def fuzz(folder: Path, *, files: int, seed: int, workers: int = 2, real: list[bytes] | None = None) -> FuzzResult:
    """Write mutated files among well-formed ones, ingest them, read every slice, and ingest again."""
    source, store, key = folder / "source", folder / "store", folder / "pseudonym.key"
    source.mkdir()
    kinds = {}
    good = [*originals(folder / "originals"), *(real or [])]
    for number, (kind, content) in enumerate(mutated(good, count=files, seed=seed)):
        name = f"{number:05d}.dcm"
        (source / name).write_bytes(content)
        kinds[name] = kind
    for number, content in enumerate(good):
        (source / f"good{number}").write_bytes(content)
        kinds[f"good{number}"] = "none"
    options = IngestOptions(largest_part_bytes=2**26, file_timeout_s=20)
    report = ingest(source, store, options=options, workers=workers, key_file=key)
    outcomes = {kind: Counter() for kind in sorted(set(kinds.values()))}
    for name, reason, _ in list_skipped(source, store, key_file=key):
        outcomes[kinds.pop(name)][reason.value] += 1
    for kind in kinds.values():
        outcomes[kind]["stored"] += 1
    opened = SliceStore(store)
    for index in range(len(opened)):
        opened.read(index)
    again = ingest(source, store, options=options, workers=workers, key_file=key)
    worker, main_process = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
    )
    return FuzzResult(report, outcomes, worker, main_process, again.looked_at)


def main() -> None:
    """Fuzz in a temporary folder and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--originals", type=Path, help="folder with DICOM files to mutate as well")
    options = parser.parse_args()
    real = [path.read_bytes() for path in sorted(options.originals.rglob("*.dcm"))[:2]] if options.originals else []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(Path(folder), files=options.files, seed=options.seed, workers=options.workers, real=real)
    print(result.report.to_table())
    for kind, counts in result.outcomes.items():
        print(f"{kind:22s} " + ", ".join(f"{code} {count}" for code, count in counts.most_common()))
    print(
        f"at most {result.largest_worker_mib:.0f} MiB in a worker, {result.largest_main_mib:.0f} MiB in the main"
        f" process; {result.looked_at_again} files looked at again, {time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
