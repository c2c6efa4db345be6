"""A federated training as a job of NVFlare: written to a folder for a real deployment, or run in its simulator."""

from __future__ import annotations

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ext.errors import FederationError
from monai_ext.federated.bundle_config import first_network, plain_settings
from monai_ext.federated.plan import SITES_VARIABLE, FederatedPlan
from monai_ext.federated.simulator import run_simulator
from monai_ext.files import read_json, write_atomically
from monai_ext.locations import tracking_uri_for
from monai_ext.torch_files import write_torch_file

__all__ = ["JobOptions", "check_nvflare", "export_job", "simulate"]


@dataclass(frozen=True)
class JobOptions:
    """How a job is run.

    Attributes:
        min_sites: with fewer sites than this the training ends.
        round_timeout: seconds after which a site that has not answered a task is lost; 0 waits for NVFlare's word.
        tracking: follow the rounds in the server's MLflow.
        pretrained: an encoder that a fine-tuning starts from.
    """

    min_sites: int = 1
    round_timeout: int = 0
    tracking: bool = True
    pretrained: str | None = None


def check_nvflare() -> None:
    """Say what to install where NVFlare is missing.

    Raises:
        FederationError: it is.
    """
    if importlib.util.find_spec("nvflare") is None:
        raise FederationError('Federated training needs NVFlare: pip install -e ".[federated]" -c constraints.txt')


def export_job(bundle: str | Path, plan: FederatedPlan, folder: str | Path, *, options: JobOptions) -> Path:
    """Write a job that NVFlare's console or API submits; give its folder.

    No image, no path of a site and no code is in it: a plan, digests of the config, and the weights of round 1.

    Args:
        bundle: where the job is made; sites have their own copies.
        plan: of the training.
        folder: where the job's folder, called after the bundle, is made or replaced.
        options: how it is run.

    Raises:
        FederationError: NVFlare is not installed.
    """
    check_nvflare()
    from nvflare.job_config.api import FedJob

    from monai_ext.federated.flare import FIRST_WEIGHTS, FederatedTraining, SiteTraining

    weights, description = first_network(bundle, plan, pretrained=options.pretrained)
    job = FedJob(name=plan.bundle, min_clients=options.min_sites)
    job.set_app_packages(["monai_ext"])
    controller = FederatedTraining(
        plan.as_plain(),
        description.as_plain(),
        plain_settings(bundle, plan),
        min_sites=options.min_sites,
        round_timeout=options.round_timeout,
        tracking=options.tracking,
    )
    job.to_server(controller)
    job.to_clients(SiteTraining())
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / FIRST_WEIGHTS
        write_torch_file(file, weights)
        job.add_file_to_server(str(file), app_folder_type="config")
        job.export_job(str(folder))
    return Path(folder) / plan.bundle


def simulate(
    bundle: str | Path,
    plan: FederatedPlan,
    sites: Mapping[str, Mapping[str, Any]],
    output: str | Path,
    *,
    options: JobOptions,
) -> dict[str, Any]:
    """Run a job with all its sites on this machine, each in processes of its own that talk over loopback.

    Args:
        bundle: of the job, and of sites that name none.
        plan: of the training.
        sites: settings by the site's name, at least ``dataset_dir``.
        output: a folder that does not exist yet, or is empty. ``federated.json``, ``model.pt``, ``job/``,
            ``simulator/`` (the server's and the sites' logs) and ``sites/`` (what each site keeps) come to lie there.
        options: how it is run.

    Returns:
        What ``federated.json`` holds.

    Raises:
        FederationError: the output folder is in use, or the training did not get to its end; the sentence of the
            server is in it.
    """
    from monai_ext.federated.flare import RESULT_FOLDER

    output = Path(output).resolve()
    if output.exists() and any(output.iterdir()):
        raise FederationError("{output} is not empty: name a new folder.", output=output)
    job = export_job(bundle, plan, output / "job", options=options)
    own = {"bundle": str(Path(bundle).resolve()), "output_dir": str(output / "sites"), "tracking": options.tracking}
    content = json.dumps({name: {**own, **settings} for name, settings in sites.items()}, indent=2)
    file = output / "sites.json"
    write_atomically(file, lambda stream: stream.write(content.encode()))
    workspace = output / "simulator"
    places = {SITES_VARIABLE: str(file), "MLFLOW_TRACKING_URI": tracking_uri_for(None)}
    run_simulator(job, workspace, sorted(sites), places)
    result = next(workspace.glob(f"server/*/{RESULT_FOLDER}"), None)
    if result is None:
        raise FederationError("The server of the simulator did not start; its log is in {log}.", log=workspace)
    for path in result.iterdir():
        shutil.copy2(path, output / path.name)
    record: dict[str, Any] = read_json(output / "federated.json")
    if record["status"] != "finished":
        _, failed, reason = record["status"].partition("failed: ")
        what = reason if failed else "The server ended in the middle of the training."
        raise FederationError(f"{what}\nLogs are in {workspace}.")
    return record
