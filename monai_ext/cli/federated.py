"""``python -m monai_ext federated``: one training at several hospitals with NVFlare: simulate, job, site.

Images stay at their sites; weights travel and are averaged round by round. Simulate runs all sites on this machine,
each in processes of its own; job writes what a real NVFlare server is given. Both need the extra "federated".

Example:
  python -m monai_ext federated simulate bundles/spark_pretrain --sites site-1=/data/a site-2=/data/b \\
      --rounds 5 --set backbone=resnet18 image_size=64 --output runs/federated
  python -m monai_ext federated job bundles/covid19_classification --rounds 20 --output jobs
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ext.cli._parser import add_subcommand, command_parser
from monai_ext.files import json_or_text

if TYPE_CHECKING:
    from monai_ext.federated.job import JobOptions
    from monai_ext.federated.plan import FederatedPlan

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    return int(options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("federated", __doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    simulate = add_subcommand(commands, "simulate", "run all sites on this machine, in NVFlare's simulator")
    simulate.set_defaults(run=_simulate)
    _add_plan(simulate)
    simulate.add_argument("--sites", nargs="+", required=True, metavar="NAME=DIR", help="each site's folder of images")
    simulate.add_argument("--output", required=True, metavar="DIR", help="new folder for model, record and logs")
    job = add_subcommand(commands, "job", "write the job's folder, to be submitted to a server of NVFlare")
    job.set_defaults(run=_job)
    _add_plan(job)
    job.add_argument("--output", required=True, metavar="DIR", help="folder that the job's folder is made in")
    site = add_subcommand(commands, "site", "train at a site; NVFlare starts this")
    site.set_defaults(run=_site)
    return parser


def _add_plan(command: argparse.ArgumentParser) -> None:
    command.add_argument("bundle", metavar="BUNDLE", help="folder of a bundle, such as bundles/spark_pretrain")
    command.add_argument("--rounds", type=int, required=True, metavar="N", help="times that weights are averaged")
    command.add_argument("--local-epochs", type=int, default=1, metavar="N", help="of each site in a round (1)")
    command.add_argument(
        "--set", nargs="+", default=[], metavar="ID=VALUE", help="of the bundle's config, the same at all sites"
    )
    command.add_argument(
        "--pretrained", metavar="FILE", help="encoder that a fine-tuning starts from; only needed here"
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of the first network (0)")
    command.add_argument("--min-sites", type=int, default=1, metavar="N", help="with fewer the training ends (1)")
    command.add_argument(
        "--round-timeout", type=int, default=0, metavar="S", help="seconds until a silent site is lost (0: never)"
    )
    command.add_argument("--no-tracking", action="store_true", help="log nothing to MLflow")


def _plan(options: argparse.Namespace) -> tuple[FederatedPlan, JobOptions]:
    from monai_ext.federated.bundle_config import plan_of
    from monai_ext.federated.job import JobOptions, check_nvflare

    check_nvflare()
    plan = plan_of(
        options.bundle,
        rounds=options.rounds,
        local_epochs=options.local_epochs,
        overrides={name: json_or_text(text) for name, text in map(_pair, options.set)},
        seed=options.seed,
        pretrained=options.pretrained,
    )
    run = JobOptions(
        min_sites=options.min_sites,
        round_timeout=options.round_timeout,
        tracking=not options.no_tracking,
        pretrained=options.pretrained,
    )
    return plan, run


def _simulate(options: argparse.Namespace) -> int:
    from monai_ext.federated.job import simulate

    plan, run = _plan(options)
    sites = {name: {"dataset_dir": str(Path(folder).resolve())} for name, folder in map(_pair, options.sites)}
    record = simulate(options.bundle, plan, sites, options.output, options=run)
    for entry in record["rounds"]:
        values = "".join(f"   {name} {value:.4f}" for name, value in entry["mean"].items())
        sys.stdout.write(f"round {entry['round']}: {', '.join(entry['sites'])}{values}\n")
    for name, loss in record["lost"].items():
        sys.stdout.write(f"{name} was lost in round {loss['round']}: {loss['reason']}\n")
    sys.stdout.write(f"The averaged model is {options.output}/model.pt.\n")
    return 0


def _job(options: argparse.Namespace) -> int:
    from monai_ext.federated.job import export_job

    plan, run = _plan(options)
    folder = export_job(options.bundle, plan, options.output, options=run)
    sys.stdout.write(
        f"Submit {folder} to the server. Sites need monai_ext, their copy of {plan.bundle}, and settings.\n"
    )
    return 0


def _site(options: argparse.Namespace) -> int:
    from monai_ext.federated.flare import serve_site
    from monai_ext.federated.job import check_nvflare

    check_nvflare()
    serve_site()
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError(f"Expected is NAME=VALUE, such as site-1=/data/a or image_size=64; received {text!r}.")
    return name, value
