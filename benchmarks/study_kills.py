"""Kill a study at random moments and compare its records: ``python benchmarks/study_kills.py --kills 10``.

A small study of phantoms (probes and fine-tuning) is run once without disturbance. Then it is run again and again in
another folder, each time until SIGKILL strikes the runner or one of its workers at a random moment, and at last to its
end. All records but times and memory must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

_PLAN = {
    "name": "kills",
    "methods": {"scratch": {}},
    "tasks": {"phantoms": {"bundle": "covid19_classification", "splits": {"folds": 4, "test": "each_fold"}}},
    "overrides": {"backbone": "resnet18", "image_size": 32},
    "per_class": [2, 8],
    "protocols": {
        "probe": {"subsets": 3},
        "fine_tuning": {
            "per_class": [2],
            "folds": [0, 1],
            "overrides": {"epochs": 3, "head_only_epochs": 1, "batch_size": 4},
        },
    },
}


def run(plan: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start the study."""
    command = [sys.executable, "-m", "monai_ext", "study", "run", str(plan), "--output", str(folder), "--workers", "2"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--no-tracking", "--no-report"], **silent)


def strike(process: subprocess.Popen[bytes], generator: random.Random, longest_s: float) -> str:
    """Kill the runner, or one of the processes below it, after a random time; tells which."""
    time.sleep(generator.uniform(0.3, 1.0) * longest_s)
    if process.poll() is not None:
        return "nobody: it had ended"
    below = psutil.Process(process.pid).children(recursive=True)
    victim = generator.choice([psutil.Process(process.pid), *below])
    which = "runner" if victim.pid == process.pid else "worker"
    os.kill(victim.pid, signal.SIGKILL)
    return which


def kept(folder: Path) -> dict[str, object]:
    """What records hold besides time, memory and hardware."""
    records = {path.stem: json.loads(path.read_text()) for path in (folder / "records").glob("*.json")}
    return {name: [record[key] for key in ("cell", "inputs", "results")] for name, record in records.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as home:
        plan = Path(home) / "plan.json"
        plan.write_text(json.dumps(_PLAN))
        started = time.perf_counter()
        run(plan, Path(home) / "calm").wait()
        longest_s = time.perf_counter() - started
        struck = []
        for _ in range(options.kills):
            process = run(plan, Path(home) / "killed")
            struck.append(strike(process, generator, longest_s))
            process.wait()
        run(plan, Path(home) / "killed").wait()
        calm, killed = kept(Path(home) / "calm"), kept(Path(home) / "killed")
    outcome = {"records": len(calm), "killed": struck, "equal": calm == killed and bool(calm)}
    sys.stdout.write(json.dumps(outcome, indent=2) + "\n")
    return 0 if outcome["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
