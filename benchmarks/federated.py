"""Two hospitals' federated training against one pooled training, and against each hospital alone, on the same slices.

The two sites run in NVFlare's simulator, in processes of their own. Pooled and alone are the same rounds with one site,
of which the average is the site itself, so NVFlare would carry nothing: they run in this process. Every site passes its
images the same number of times. Each result is judged in the same way on images that none of the trainings saw: slices
of both collections, or the official test section.

    python benchmarks/federated.py pretraining OUTPUT --large DIR --small DIR
    python benchmarks/federated.py fine-tuning OUTPUT --data DIR
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from monai_ext.federated.answer import Answer
from monai_ext.federated.bundle_config import first_network, merged_config, plain_settings, plan_of
from monai_ext.federated.job import JobOptions, simulate
from monai_ext.federated.plan import SITES_VARIABLE, FederatedPlan
from monai_ext.federated.record import FederatedRecord
from monai_ext.federated.rounds import train_in_rounds
from monai_ext.federated.serving import SiteServer

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"
SMALL = {"backbone": "resnet18", "image_size": 64, "batch_size": 32}


def main() -> None:
    """Parse the arguments, train and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    pretraining = kinds.add_parser("pretraining", help="SparK on two folders of slices")
    pretraining.add_argument("--large", required=True, metavar="DIR", help="slices of the first hospital")
    pretraining.add_argument("--small", required=True, metavar="DIR", help="slices of the second")
    pretraining.add_argument("--counts", type=int, nargs=3, default=[400, 200, 100], help="for training, and held out")
    tuning = kinds.add_parser("fine-tuning", help="a classifier on a folder with labels.csv and a published split")
    tuning.add_argument("--data", required=True, metavar="DIR", help="such as COVID-CT")
    for kind in (pretraining, tuning):
        kind.add_argument("output", metavar="OUTPUT", help="a new folder")
        kind.add_argument("--rounds", type=int, default=10)
        kind.add_argument("--local-epochs", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    (compare_pretraining if options.kind == "pretraining" else compare_fine_tuning)(options)


def compare_pretraining(options: argparse.Namespace) -> None:
    """Reconstruction loss on held-out slices of each collection."""
    output = Path(options.output)
    large, small, held_out = options.counts
    for name, source, count in (("large", options.large, large), ("small", options.small, small)):
        files = sorted(Path(source).iterdir())
        random.Random(0).shuffle(files)
        _copy(files[:count], output / "data" / name)
        _copy(files[:count], output / "data" / "pooled")
        _copy(files[count : count + held_out], output / "held_out" / name)
    settings = {**SMALL, "decoder_width": 64, "learning_rate": 0.2}
    bundle = BUNDLES / "spark_pretrain"
    rows = {}
    for training, model in _trainings(bundle, output, options, settings, folders=("large", "small")).items():
        losses = []
        for name in ("large", "small"):
            places = {"dataset_dir": str(output / "held_out" / name), "validation_fraction": 0.9}
            losses.append(f"{judge(bundle, model, {**settings, **places})['val_loss']:.4f}")
        rows[training] = losses
    _print(["training", "loss, large site's held-out slices", "small site's"], rows)


def compare_fine_tuning(options: argparse.Namespace) -> None:
    """AUC on the published test section, of which no training has an image."""
    output, source = Path(options.output), Path(options.data)
    _split_by_patient(source, output / "data")
    bundle = BUNDLES / "covid19_classification"
    rows = {}
    for training, model in _trainings(bundle, output, options, SMALL, folders=("large", "small")).items():
        places = {"dataset_dir": str(source), "validate::dataset::data": "$@images.choose('test')"}
        metrics = judge(bundle, model, {**SMALL, **places})
        rows[training] = [f"{metrics['auc']:.3f} ({metrics['auc_low']:.3f} to {metrics['auc_high']:.3f})"]
    _print(["training", "AUC on the test section (95 % interval over patients)"], rows)


def _trainings(
    bundle: Path, output: Path, options: argparse.Namespace, settings: Mapping[str, Any], *, folders: tuple[str, str]
) -> dict[str, Path]:
    """The averaged model of each training."""
    data = output / "data"
    groups = {
        "two sites, federated": list(folders),
        "pooled": ["pooled"],
        **{f"{name} alone": [name] for name in folders},
    }
    models = {}
    for training, members in groups.items():
        sites = {f"site-{n}": {"dataset_dir": str(data / name)} for n, name in enumerate(members, start=1)}
        plan = plan_of(bundle, rounds=options.rounds, local_epochs=options.local_epochs, overrides=settings)
        start = time.monotonic()
        folder = output / training.replace(" ", "_").replace(",", "")
        if len(sites) > 1:
            simulate(bundle, plan, sites, folder, options=JobOptions(tracking=False))
        else:
            _train_here(bundle, plan, sites["site-1"], folder)
        print(f"{training}: {time.monotonic() - start:.0f} s", flush=True)
        models[training] = folder / "model.pt"
    return models


def _train_here(bundle: Path, plan: FederatedPlan, place: Mapping[str, str], folder: Path) -> None:
    """The rounds of a single site, in this process."""
    folder.mkdir()
    settings = {"site-1": {"bundle": str(bundle), "output_dir": str(folder / "sites"), "tracking": False, **place}}
    (folder / "sites.json").write_text(json.dumps(settings))
    os.environ[SITES_VARIABLE] = str(folder / "sites.json")
    server = SiteServer("site-1", "job")
    first, job = first_network(bundle, plan)
    record = FederatedRecord(folder, plan, settings=plain_settings(bundle, plan))

    def ask(task: str, sites: Any, *, weights: Any, details: Any) -> dict[str, Answer]:
        return {"site-1": server.answer(task, weights, details)}

    train_in_rounds(plan, ["site-1"], ask, first=first, job=job, record=record)
    server.close()


def judge(bundle: Path, model: Path, overrides: Mapping[str, Any]) -> dict[str, float]:
    """Metrics of a bundle's evaluator for weights."""
    top = {name: value for name, value in overrides.items() if "::" not in name}
    parser = ConfigParser(merged_config(bundle, {**top, "num_workers": 0}))
    parser.update({name: value for name, value in overrides.items() if "::" in name})
    for place in ("validate::handlers::1", "train::tracker"):
        if place in parser and "MLflow" in str(parser[place]):
            parser.update({f"{place}::enabled": False})
    set_determinism(seed=0)
    evaluator = parser.get_parsed_content("validate::evaluator")
    evaluator.network.load_state_dict(torch.load(model, weights_only=True))
    evaluator.run(1)
    return dict(evaluator.state.metrics)


def _split_by_patient(source: Path, target: Path) -> None:
    """Two thirds of the patients that are not for testing to one site, the others to the other, and all pooled."""
    rows = list(csv.DictReader((source / "labels.csv").open()))
    patients = sorted({row["patient_id"] for row in rows if row["split"] != "test"})
    random.Random(0).shuffle(patients)
    large = set(patients[: 2 * len(patients) // 3])
    for name, wanted in (("large", large), ("small", set(patients) - large), ("pooled", set(patients))):
        own = [row for row in rows if row["split"] != "test" and row["patient_id"] in wanted]
        for row in own:
            (target / name / row["file"]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / row["file"], target / name / row["file"])
        with (target / name / "labels.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(own)
        print(f"{name}: {len(own)} images of {len({row['patient_id'] for row in own})} patients")


def _copy(files: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder / file.name)


def _print(header: list[str], rows: Mapping[str, list[str]]) -> None:
    print(f"\n| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for name, cells in rows.items():
        print(f"| {' | '.join([name, *cells])} |")


if __name__ == "__main__":
    main()
