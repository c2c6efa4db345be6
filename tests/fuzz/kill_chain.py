"""Kills the whole chain at random moments, again and again, and compares what it ends with.

The chain is ingestion, pre-training, fine-tuning and a study, each resumed after every kill as its user would. Run
``PYTHONPATH=tests python tests/fuzz/kill_chain.py --kills 100``. Stages run in forks of a process that has imported
everything, so that a kill costs what it interrupts and not Python's start; SIGKILL strikes the stage, or one of the
processes below it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from helpers.bundle_files import REPOSITORY, config_files, untracked
from helpers.dicom_files import ct_slice, write
from helpers.small_study import results_of, run_small, small_plan, write_study_pictures
from monai_ext.bundle import prepare_output_dir
from monai_ext.data.ingestion.ingest import ingest
from monai_ext.data.store.reader import SliceStore
from monai_ext.handlers import find_checkpoint
from monai_ext.study.executors import LocalExecutor

_SERIES, _SLICES, _SIDE = 8, 4, 48
_TINY = {"backbone": "resnet18", "image_size": 32, "batch_size": 8, "num_workers": 0}
_KILLS_A_STAGE = 4
"""After so many a stage of a round is left in peace, so that the next one has its turn."""


@dataclass
class ChainResult:
    """What happened: kills by stage and victim, and rounds whose end differed from that of the calm one."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    different: list[str] = field(default_factory=list)


def write_data(folder: Path) -> None:
    """CT without labels as DICOM, and labelled pictures."""
    generator = np.random.default_rng(0)
    for series in range(_SERIES):
        for number in range(_SLICES):
            values = generator.integers(0, 2000, (_SIDE, _SIDE)).astype(np.uint16)
            write(
                ct_slice(2.5 * number, values=values, series=str(series)), folder / "dicom" / f"{series}_{number}.dcm"
            )
    write_study_pictures(folder / "pictures", patients=12)


def _ingest(data: Path, home: Path) -> None:
    ingest(data / "dicom", home / "store", workers=1, key_file=data / "pseudonym.key")


def _pretrain(data: Path, home: Path) -> None:
    settings = {
        "dataset_dir": str(home / "store"),
        "epochs": 6,
        "val_interval": 1,
        "decoder_width": 32,
        "image_size": 64,
    }
    _train("spark_pretrain", home / "pretraining", settings)


def _fine_tune(data: Path, home: Path) -> None:
    encoder = run_folder(home / "pretraining") / "encoder.pt"
    settings = {"dataset_dir": str(data / "pictures"), "pretrained": str(encoder), "epochs": 5, "head_only_epochs": 1}
    _train("covid19_classification", home / "classification", settings)


def _study(data: Path, home: Path) -> None:
    encoder = run_folder(home / "pretraining") / "encoder.pt"
    content = small_plan(
        data / "pictures",
        methods={"scratch": {}, "SparK": {"file": str(encoder)}},
        overrides={key: value for key, value in _TINY.items() if key != "num_workers"},
        fractions=[1],
    )
    executor = LocalExecutor(workers=2)
    executor._context = multiprocessing.get_context("fork")
    result = run_small(content, home / "study", executor=executor)
    if result.failed:
        raise RuntimeError(f"{len(result.failed)} cells failed")


_STAGES: dict[str, Callable[[Path, Path], None]] = {
    "ingest": _ingest,
    "pre-train": _pretrain,
    "fine-tune": _fine_tune,
    "study": _study,
}


def _train(name: str, root: Path, settings: dict[str, Any]) -> None:
    """Train, and go on where an earlier process was killed."""
    from monai.bundle import run

    bundle = REPOSITORY / "bundles" / name
    root.mkdir(exist_ok=True)
    resume = None if run_folder(root) is None else "last"
    shared = {"bundle_root": str(root), "resume": resume, "precision": "fp32", **_TINY, **untracked(bundle, "train")}
    run(config_file=config_files(bundle, "smoke"), logging_file=False, **{**shared, **settings})


def run_folder(root: Path) -> Path | None:
    """The run that ``resume="last"`` continues; None when nothing was saved yet."""
    try:
        return Path(prepare_output_dir(str(root), resume="last"))
    except FileNotFoundError:
        return None


def outcome(home: Path) -> dict[str, Any]:
    """Hashes of everything that the chain is for."""
    found: dict[str, Any] = {"store": SliceStore(home / "store").content_hash, "study": results_of(home / "study")}
    for name in ("pretraining", "classification"):
        folder = run_folder(home / name)
        found[name] = tensors_sha256(find_checkpoint(folder))
    found["encoder"] = tensors_sha256(run_folder(home / "pretraining") / "encoder.pt")
    found["model"] = tensors_sha256(home / "classification" / "models" / "model.pt")
    return found


def tensors_sha256(file: Path) -> str:
    """Of all tensors of a file, with their places."""
    digest = hashlib.sha256()
    for place, tensor in sorted(_tensors(torch.load(file, weights_only=True))):
        digest.update(place.encode() + str(tensor.dtype).encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _tensors(content: Any, place: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(content, torch.Tensor):
        yield place, content
    elif isinstance(content, (dict, list, tuple)):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _tensors(value, f"{place}/{key}")


def start(stage: str, data: Path, home: Path, log: Path) -> int:
    """Fork a process that runs a stage; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(home)
        _STAGES[stage](data, home)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def strike(child: int, generator: random.Random, longest_s: float) -> str | None:
    """SIGKILL a stage, or what runs below it, after a random time; None when it had ended before."""
    time.sleep(generator.uniform(0, longest_s))
    try:
        stage = psutil.Process(child)
        if stage.status() == psutil.STATUS_ZOMBIE:
            return None
        victim = generator.choice([stage, stage, *stage.children(recursive=True)])
        os.kill(victim.pid, signal.SIGKILL)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
    return "itself" if victim.pid == child else "a process below"


def run_chain(
    data: Path, home: Path, *, seconds: dict[str, float], kills: int, generator: random.Random
) -> Counter[str]:
    """Run all stages to their ends, with kills on the way; ``seconds`` gets how long a calm stage takes."""
    home.mkdir()
    struck: Counter[str] = Counter()
    for stage in _STAGES:
        for _ in range(_KILLS_A_STAGE):
            if struck.total() >= kills:
                break
            child = start(stage, data, home, home.with_suffix(".log"))
            victim = strike(child, generator, seconds[stage])
            os.waitpid(child, 0)
            struck.update([f"{stage}: {victim}"] if victim else [])
        began = time.monotonic()
        child = start(stage, data, home, home.with_suffix(".log"))
        _, status = os.waitpid(child, 0)
        seconds.setdefault(stage, time.monotonic() - began)
        if status:
            raise RuntimeError(f"{stage} failed after {struck}:\n{home.with_suffix('.log').read_text()[-4000:]}")
    return struck


def kill_chain(folder: Path, *, kills: int, seed: int) -> ChainResult:
    """A calm chain first, then rounds until so many kills have struck."""
    torch.set_num_threads(1)
    for module in ("monai_ext.study.executors.preloaded", "monai.bundle", "monai_ext.bundle", "monai_ext.tracking"):
        importlib.import_module(module)
    generator, seconds, result = random.Random(seed), dict[str, float](), ChainResult()
    write_data(folder)
    run_chain(folder, folder / "calm", seconds=seconds, kills=0, generator=generator)
    expected = outcome(folder / "calm")
    while result.kills.total() < kills:
        home = folder / f"round{result.rounds}"
        left = kills - result.kills.total()
        result.kills += run_chain(folder, home, seconds=seconds, kills=left, generator=generator)
        found = outcome(home)
        result.different += [f"{home.name}: {name}" for name in expected if found[name] != expected[name]]
        result.rounds += 1
    return result


def main() -> int:
    """Kill in a temporary folder and report; the status is 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        result = kill_chain(Path(folder), kills=options.kills, seed=options.seed)
    summary = {
        "kills": result.kills.total(),
        "rounds": result.rounds,
        "different": result.different,
        "struck": dict(sorted(result.kills.items())),
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(summary, indent=2))
    return 1 if result.different else 0


if __name__ == "__main__":
    sys.exit(main())
