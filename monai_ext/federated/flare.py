"""NVFlare's side: the controller on the server, the executor at a site, and the loop of the process that trains.

A job has no code of its own in it. What it names is installed: this module. So a site may refuse jobs that bring code,
and put nothing but this module's two names on its list of allowed components.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_ext.federated.agreement import SiteDescription
from monai_ext.federated.answer import Answer, shared_metrics
from monai_ext.federated.plan import FederatedPlan
from monai_ext.federated.record import FederatedRecord
from monai_ext.federated.rounds import train_in_rounds
from monai_ext.federated.serving import SiteServer
from monai_ext.federated.tracking import FederatedTracking
from monai_ext.torch_files import read_torch_file

try:
    from nvflare.app_common.executors.client_api_executor import ClientAPIExecutor
    from nvflare.app_common.workflows.model_controller import ModelController
except ImportError:  # the commands say so before they come here; documentation and tests read this file without it
    ClientAPIExecutor = ModelController = object

__all__ = ["FIRST_WEIGHTS", "RESULT_FOLDER", "FederatedTraining", "SiteTraining", "serve_site"]

FIRST_WEIGHTS = "first_weights.pt"
"""In the configuration folder of the server's part of a job."""
RESULT_FOLDER = "federated"
"""In the folder of the job's run on the server."""
_LONGEST = 1000
_START_SECONDS = 600
"""A site may take so long to start its process and open its images, beside the time that it has for a round."""


class FederatedTraining(ModelController):
    """Runs the rounds on the server. The arguments are what a job's configuration holds: plain values.

    Args:
        plan: a :class:`~monai_ext.federated.plan.FederatedPlan`.
        description: what sites have to agree with.
        settings: what ``model.json`` says about the network.
        min_sites: with fewer sites than this the training ends.
        round_timeout: seconds after which a site that has not answered is lost; 0 waits until NVFlare knows that it is
            gone.
        tracking: follow the rounds in the server's MLflow.
    """

    def __init__(
        self,
        plan: dict[str, Any],
        description: dict[str, Any],
        settings: dict[str, Any],
        min_sites: int = 1,
        round_timeout: int = 0,
        tracking: bool = True,
    ) -> None:
        super().__init__(persistor_id="", ignore_result_error=True)  # a failed site is the rounds' matter
        self.plan = plan
        self.description = description
        self.settings = settings
        self.min_sites = min_sites
        self.round_timeout = round_timeout
        self.tracking = tracking

    def run(self) -> None:
        """Called by NVFlare; an error ends the job, with its sentence in the log and in ``federated.json``."""
        plan = FederatedPlan.from_plain(self.plan)
        folder = Path(self.get_run_dir()) / RESULT_FOLDER
        with FederatedTracking(plan, folder, enabled=self.tracking) as tracking:
            record = FederatedRecord(folder, plan, settings=self.settings, log=tracking)
            try:
                first = read_torch_file(Path(self.get_app_dir()) / "config" / FIRST_WEIGHTS)
                job = SiteDescription.from_plain(self.description)
                train_in_rounds(
                    plan, self.sample_clients(), self._ask, first=first, job=job, record=record,
                    min_sites=self.min_sites,
                )  # fmt: skip
            except Exception as error:
                record.finish(str(error))
                raise

    def _ask(
        self, task: str, sites: Sequence[str], *, weights: Mapping[str, Tensor], details: Mapping[str, Any]
    ) -> dict[str, Answer]:
        """The answers that came; sites that NVFlare reports as failed, or that took too long, are not in it."""
        from nvflare.app_common.abstract.fl_model import FLModel

        request = FLModel(params=_as_arrays(weights), meta={"details": dict(details)})
        starting = _START_SECONDS if task == "describe" and self.round_timeout else 0
        timeout = self.round_timeout + starting
        replies = self.send_model_and_wait(task_name=task, data=request, targets=list(sites), timeout=timeout)
        return {reply.meta["client_name"]: _answer_of(reply) for reply in replies}


class SiteTraining(ClientAPIExecutor):
    """Starts the process that trains at a site, which speaks NVFlare's Client API.

    The command is fixed, so that a site that allows this component allows no other command with it.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-m", "monai_ext", "federated", "site"]
        super().__init__(
            "external_process", command=command, params_exchange_format="raw", launch_timeout=float(_START_SECONDS)
        )


def serve_site() -> None:
    """Answer the server's tasks until there are no more: the process that :class:`SiteTraining` starts."""
    import nvflare.client as flare

    flare.init()
    server = SiteServer(flare.get_site_name(), flare.get_job_id())
    while flare.is_running():
        request = flare.receive()
        if request is None:
            break
        weights = {name: torch.from_numpy(np.array(value)) for name, value in (request.params or {}).items()}
        answer = server.answer(flare.get_task_name(), weights, request.meta.get("details", {}))
        flare.send(_message(answer))
    server.close()


def _message(answer: Answer) -> Any:
    from nvflare.app_common.abstract.fl_model import FLModel

    meta = {"images": answer.images, "description": dict(answer.description), "failure": answer.failure}
    return FLModel(params=_as_arrays(answer.weights), metrics=dict(answer.metrics), meta=meta)


def _answer_of(reply: Any) -> Answer:
    """What a message holds; sites may be of anybody, so values of other kinds are a failure of the site."""
    try:
        weights = {str(name): torch.from_numpy(np.array(value)) for name, value in (reply.params or {}).items()}
        return Answer(
            weights=weights,
            metrics=shared_metrics(reply.metrics or {}),
            images=int(reply.meta["images"]),
            description=dict(reply.meta["description"]),
            failure=str(reply.meta["failure"])[:_LONGEST],
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return Answer(failure="its answer has another form than this version's")


def _as_arrays(weights: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in weights.items()}
