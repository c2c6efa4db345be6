"""A site's part of a federated training: MONAI's client algorithm on the site's own copy of the bundle."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from monai.bundle import ConfigWorkflow
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.utils import copy_model_state
from torch import Tensor

from monai_ext.errors import FederationError
from monai_ext.federated.agreement import state_digest
from monai_ext.federated.answer import Answer, shared_metrics
from monai_ext.federated.bundle_config import described, merged_config
from monai_ext.federated.plan import FederatedPlan, SiteSettings
from monai_ext.federated.shared_state import shared_state
from monai_ext.parallel.processes import unwrap

__all__ = ["FederatedSite"]

logger = logging.getLogger(__name__)

_TRACKER = "monai_ext.tracking.MLflowTracker"


class FederatedSite:
    """One site: it opens its images once, and trains from the weights that it is sent, round by round.

    The bundle is copied to the site's output folder and run from there, so that models of this training lie beside it
    and nothing changes in the copy that was reviewed. Optimiser, schedule, random streams and queues live as long as
    the process and go on from round to round; of them nothing is sent.

    Args:
        name: of the site.
        number: from 0, in the order of names; sites see their images in different orders and views.
        plan: of the training, from the server.
        settings: of the site.

    Raises:
        FederationError: the site's bundle is another one than the plan's.
        DatasetError: and other errors of data that cannot be used.
    """

    def __init__(self, name: str, *, number: int, plan: FederatedPlan, settings: SiteSettings) -> None:
        self.name = name
        self.plan = plan
        folder = Path(settings.output_dir) / name
        bundle = Path(settings.bundle)
        if bundle.resolve().name != plan.bundle:
            raise FederationError(
                f"The server trains {plan.bundle}, and this site's bundle is another one: {{bundle}}. Name a copy of"
                " that bundle in the site's settings.",
                bundle=bundle,
            )
        own = {**settings.overrides, "seed": plan.seed + 1 + number}
        config = merged_config(bundle, {**plan.all_overrides, **own})
        self._description = described(config)
        copied = folder / plan.bundle
        shutil.copytree(bundle, copied, ignore=shutil.ignore_patterns("models", "eval", "predictions"))
        untracked = {} if settings.tracking else {f"{place}::enabled": False for place in _trackers(config)}
        self._algo = MonaiAlgo(
            bundle_root=str(copied),
            local_epochs=plan.local_epochs,
            send_weight_diff=False,
            train_kwargs={**plan.all_overrides, **own, **untracked, "output_dir": str(folder / "run")},
            config_evaluate_filename=None,
        )
        self._algo.initialize({ExtraItems.CLIENT_NAME: name})
        self._trainer: Any = self._algo.trainer
        parser = cast(ConfigWorkflow, self._algo.train_workflow).parser
        self._images = len(parser.get_parsed_content("train::dataset"))
        self._evaluator = parser.get_parsed_content("validate::evaluator")

    def describe(self) -> Answer:
        """What the server compares before the first round."""
        network = state_digest(shared_state(self._trainer.network))
        description = replace(self._description, network=network, images=self._images)
        return Answer(images=self._images, description=description.as_plain())

    def train(self, weights: Mapping[str, Tensor]) -> Answer:
        """Train for the local epochs of a round from weights, and give the new ones."""
        self._algo.train(ExchangeObject(weights=dict(weights)))
        loss = self._trainer.state.output["loss"]
        metrics = shared_metrics({"loss": float(loss)})
        return Answer(weights=shared_state(self._trainer.network), metrics=metrics, images=self._images)

    def validate(self, weights: Mapping[str, Tensor]) -> Answer:
        """Judge weights on the site's held-out images."""
        copy_model_state(src={**unwrap(self._trainer.network).state_dict(), **weights}, dst=self._trainer.network)
        self._evaluator.run(self._trainer.state.epoch)
        return Answer(metrics=shared_metrics(self._evaluator.state.metrics), images=self._images)

    def close(self) -> None:
        """End the training."""
        self._algo.finalize()


def _trackers(config: Any, prefix: str = "") -> Iterator[str]:
    """Where in a config MLflow is written to."""
    items = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    for key, value in items:
        if isinstance(value, dict) and value.get("_target_") == _TRACKER:
            yield f"{prefix}{key}"
        yield from _trackers(value, f"{prefix}{key}::")
