"""Reads mutated slice stores: none may crash the reader, none may be taken for whole when its content has changed.

Run ``PYTHONPATH=tests python tests/fuzz/store_fuzz.py --stores 2000 --seed 0``. Each store is read in a process of its
own that may take little memory and time. A small part with a fixed seed runs with the tests.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from helpers.slice_stores import SERIES, make_store, pixels_of, rows_of
from helpers.store_mutations import mutated
from monai_ext.data.store.check import check_series
from monai_ext.data.store.privacy_report import make_privacy_report, render_privacy_report
from monai_ext.data.store.reader import SliceStore, SliceStoreWriter
from monai_ext.errors import SliceStoreError

_MEMORY_BYTES, _SECONDS = 2**30, 60


def make_original(folder: Path) -> Path:
    """A store with merged series, and one that is pending, as a killed writer leaves it."""
    store = make_store(folder / "original", SERIES[:2])
    writer = SliceStoreWriter.open(store, source_kind="ct")
    writer.add_series(SERIES[2], pixels_of(SERIES[2]), rows_of(SERIES[2]), {"files": 3})
    shutil.copytree(store, folder / "killed")
    writer.close()
    return folder / "killed"


def read_everything(path: Path, content_hash: str) -> str:
    """What became of a store: ``"whole"``, how it was found that it is not, or that it says to be another one."""
    try:
        store = SliceStore(path)
        for index in range(len(store)):
            store.read(index)
        _ = store.index, store.provenance
        render_privacy_report(make_privacy_report(store))
    except SliceStoreError:
        return "named when read"
    try:
        if any(check.damaged for check in check_series(store)):
            return "named by verify"
    except SliceStoreError:
        return "named by verify"
    return "whole" if store.content_hash == content_hash else "another content hash"


def _read_within_limits(path: Path, content_hash: str, answer: Connection) -> None:
    with open("/proc/self/statm", encoding="ascii") as stream:
        in_use = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + _MEMORY_BYTES,) * 2)
    try:
        answer.send(read_everything(path, content_hash))
    except BaseException as error:
        answer.send(f"{type(error).__name__}: {error}")
        os._exit(1)


def fuzz(folder: Path, *, stores: int, seed: int, kind: str | None = None) -> dict[str, Counter[str]]:
    """Read mutated stores; returns how often what became of each kind of mutation."""
    original = make_original(folder)
    content_hash = SliceStore(original).content_hash
    outcomes: dict[str, Counter[str]] = {}
    context: Any = multiprocessing.get_context("fork")

    def copy() -> Path:
        shutil.rmtree(folder / "mutated", ignore_errors=True)
        return Path(shutil.copytree(original, folder / "mutated"))

    for name, store in mutated(copy, count=stores, seed=seed, kind=kind):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_read_within_limits, args=(store, content_hash, theirs))
        process.start()
        theirs.close()
        outcome = "hang"
        if ours.poll(_SECONDS):
            try:
                outcome = ours.recv()
            except EOFError:
                outcome = "crash"
        process.kill()
        process.join()
        outcomes.setdefault(name, Counter())[outcome] += 1
    return outcomes


def main() -> None:
    """Fuzz in a temporary folder and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stores", type=int, default=2000)
    parser.add_argument("--kind", help="one kind of mutation only")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(Path(folder), stores=options.stores, seed=options.seed, kind=options.kind)
    total: Counter[str] = Counter()
    for kind, counts in outcomes.items():
        total.update(counts)
        print(f"{kind:24s} " + ", ".join(f"{code} {count}" for code, count in counts.most_common()))
    print(f"{options.stores} stores, {time.monotonic() - started:.0f} s: {dict(total)}")


if __name__ == "__main__":
    main()
