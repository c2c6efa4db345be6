"""Tasks of the server, answered at a site: whatever happens here, only an :class:`Answer` goes back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_ext.errors import FederationError
from monai_ext.federated.answer import Answer, failed
from monai_ext.federated.plan import FederatedPlan, site_settings

__all__ = ["SiteServer"]

logger = logging.getLogger(__name__)


class SiteServer:
    """Answers ``"describe"``, ``"train"`` and ``"validate"``.

    Args:
        site: name of the site.
        job: NVFlare's id of the job; results of each job get a folder of their own.
    """

    def __init__(self, site: str, job: str) -> None:
        self.site = site
        self.job = job
        self._training: Any = None

    def answer(self, task: str, weights: Mapping[str, Tensor], details: Mapping[str, Any]) -> Answer:
        """Do what was asked. An error is logged here with all it says; the server is told what may be told."""
        try:
            return self._answer(task, weights, details)
        except Exception as error:
            logger.exception("The task %s failed; the server is told of it without names and paths.", task)
            return failed(error)

    def close(self) -> None:
        """End the training."""
        if self._training is not None:
            self._training.close()

    def _answer(self, task: str, weights: Mapping[str, Tensor], details: Mapping[str, Any]) -> Answer:
        if task == "describe":
            return self._describe(details)
        if self._training is None or task not in ("train", "validate"):
            raise FederationError(f"A site that has described itself can train and validate; asked was {task!r}.")
        logger.info("Round %s: %s.", details.get("round"), task)
        answer: Answer = getattr(self._training, task)(weights)
        return answer

    def _describe(self, details: Mapping[str, Any]) -> Answer:
        from monai_ext.federated.site import FederatedSite

        settings = site_settings(self.site)
        settings = replace(settings, output_dir=str(Path(settings.output_dir) / self.job))
        plan = FederatedPlan.from_plain(details["plan"])
        self._training = FederatedSite(
            self.site, number=int(details["numbers"][self.site]), plan=plan, settings=settings
        )
        description: Answer = self._training.describe()
        return description
