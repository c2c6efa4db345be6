"""Memory of one training step of the contrastive bundles, by images a step: peak of a process at two batch sizes.

python benchmarks/contrastive_memory.py --batches 4 12

Each measurement is a process of its own: network and loss of the bundle's train.json with its defaults, views of random
numbers in the sizes of its train.json, one forward and one backward pass on the CPU. Two batch sizes give the memory of
an image and what does not depend on the batch. bf16 is left out where the processor would emulate it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path

from monai_ext.parallel.processor import processor

ROOT = Path(__file__).resolve().parents[1]
BUNDLES = sorted(
    file.parents[1].name
    for file in ROOT.glob("bundles/*_pretrain/configs/train.json")
    if "MultiViewInferer" in file.read_text()
)


def measure(bundle: str, batch: int, precision: str) -> float:
    """Peak of this process in GiB after one step."""
    import torch
    from monai.bundle import ConfigParser

    config = ConfigParser.load_config_file(ROOT / "bundles" / bundle / "configs" / "train.json")
    own = {"fitted_queue_size": config.get("queue_size"), "batch_norm_groups": 2}
    config = {**config, **{name: value for name, value in own.items() if name in config}}
    parser = ConfigParser(config)
    network = parser.get_parsed_content("network_def").to(memory_format=torch.channels_last).train()
    loss = parser.get_parsed_content("loss")
    counts = {"global": 2, "local": config.get("local_views", 0)}
    sizes = {"global": config["image_size"], "local": config.get("local_size", 0)}
    views = [torch.rand(batch, 1, sizes[kind], sizes[kind]) for kind in counts for _ in range(counts[kind])]
    views = [view.contiguous(memory_format=torch.channels_last) for view in views]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        output = network(views)
    loss(*output).backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_in_a_process(bundle: str, batch: int, precision: str) -> float:
    command = [sys.executable, __file__, "--measured-alone", bundle, str(batch), precision]
    return float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs=2, default=(4, 12), help="two batch sizes")
    parser.add_argument("--bundles", nargs="+", choices=BUNDLES, default=BUNDLES, help="which to measure; all of them")
    parser.add_argument("--measured-alone", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measured_alone:
        bundle, batch, precision = options.measured_alone
        print(measure(bundle, int(batch), precision))
        return
    small, large = sorted(options.batches)
    here = processor()
    print(f"{here.name}\n")
    print("| bundle | precision | GiB an image | GiB besides | GiB at the default batch |\n|---|---|---|---|---|")
    for bundle in options.bundles:
        default = json.loads((ROOT / "bundles" / bundle / "configs" / "train.json").read_text())["batch_size"]
        for precision in ("fp32", "bf16") if here.has_bf16 else ("fp32",):
            low, high = (measure_in_a_process(bundle, batch, precision) for batch in (small, large))
            slope = (high - low) / (large - small)
            base = low - slope * small
            whole = f"{base + slope * default:.0f} ({default} images)"
            print(f"| {bundle} | {precision} | {slope:.3f} | {base:.2f} | {whole} |", flush=True)


if __name__ == "__main__":
    main()
