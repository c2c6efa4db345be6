"""Opens labelled data with mutated tables and splits: each is used as it is, or refused with a sentence.

Run ``PYTHONPATH=tests python tests/fuzz/table_fuzz.py --files 500 --seed 0``. A small part with a fixed seed runs with
the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import resource
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.file_accesses import file_accesses
from helpers.table_mutations import SECRET, mutations
from monai_ext.cli import splits as splits_command
from monai_ext.data import make_splits, open_labelled_sections, open_split_source
from monai_ext.errors import DatasetError, SplitError

CLASSES = ("no", "yes")
LONGEST_S = 60


@dataclass
class FuzzResult:
    """What happened: outcomes by kind of mutation, and what must not be."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    secrets_read: int = 0


def fuzz(folder: Path, *, files: int, seed: int) -> FuzzResult:
    """Mutate one of three files at a time, then train, validate, show and check with it."""
    data = folder / "data"
    good = _write_data(data)
    result = FuzzResult()
    with file_accesses(folder) as accesses:
        for number, (kind, name, write) in enumerate(mutations(good, count=files, seed=seed)):
            _remove(data / name)
            write(data / name)
            outcome = _open(data, f"{number} ({kind} in {name})", result)
            result.outcomes.setdefault(kind, Counter())[outcome] += 1
            _remove(data / name)
            (data / name).write_bytes(good[name])
    result.secrets_read = accesses.opened[SECRET]
    return result


def _write_data(data: Path) -> dict[str, bytes]:
    """Twelve pictures of six patients, two of them near duplicates; returns the three files that are mutated."""
    (data / "images").mkdir(parents=True)
    rows = ["file,label,patient_id,split"]
    for number in range(12):
        Image.fromarray(np.full((6, 8), 10 * number, np.uint8)).save(data / "images" / f"{number:02d}.png")
        rows.append(
            f"images/{number:02d}.png,{CLASSES[number % 2]},p{number // 2},{('train', 'val', 'test')[number // 4]}"
        )
    Image.fromarray(np.full((6, 8), 255, np.uint8)).save(data.parent / SECRET)
    (data / "link.png").symlink_to(data.parent / SECRET)
    (data / "up").symlink_to(data.parent)
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    (data / "near_duplicates.csv").write_text("file_a,file_b\nimages/00.png,images/09.png\n")
    source = open_split_source(data)
    made = make_splits(source, test_fraction=0.34, validation_fraction=0.33, seed=1, reduce_fractions=[0.5])
    made.save(data / "splits.json")
    return {name: (data / name).read_bytes() for name in ("labels.csv", "near_duplicates.csv", "splits.json")}


def _open(data: Path, case: str, result: FuzzResult) -> str:
    """The outcome of a case; a crash is everything but the errors that say what is wrong with the data."""
    try:
        with _at_most(LONGEST_S):
            images = open_labelled_sections(data, class_names=CLASSES, splits=data / "splits.json")
            for section in (images.training, images.validation):
                _ = [section[number] for number in range(len(section))]
            with contextlib.redirect_stdout(io.StringIO()):
                splits_command.main(["show", str(data / "splits.json")])
                splits_command.main(["check", str(data / "splits.json"), str(data)])
    except (DatasetError, SplitError) as error:
        if not str(error).rstrip().endswith("."):
            result.crashes.append(f"{case}: no sentence: {str(error)[:200]!r}")
        return type(error).__name__
    except TimeoutError:
        result.hangs.append(case)
        return "hang"
    except BaseException as error:
        result.crashes.append(f"{case}: {type(error).__name__}: {str(error)[:200]}")
        return "crash"
    return "used"


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def main() -> None:
    """Fuzz in a temporary folder and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(Path(folder), files=options.files, seed=options.seed)
    for kind, counts in sorted(result.outcomes.items()):
        print(f"{kind:18s} " + ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common()))
    total = sum(result.outcomes.values(), Counter())
    print(
        f"{total.total()} mutated files: {dict(total)}; crashes {len(result.crashes)}, hangs {len(result.hangs)}, the"
        f" file outside was opened {result.secrets_read} times;"
        f" at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )
    for line in (*result.crashes, *result.hangs):
        print(line)


if __name__ == "__main__":
    main()
