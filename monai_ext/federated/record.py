"""What happened in a federated training: which site gave to which round, and how good the average was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from monai_ext.federated.plan import FederatedPlan
from monai_ext.files import write_atomically
from monai_ext.networks.weights.model_file import MODEL_FILE, write_model

__all__ = ["RECORD_FILE", "FederatedRecord", "weighted_metrics"]

RECORD_FILE = "federated.json"


class RoundsLog(Protocol):
    """Follows rounds elsewhere, such as in MLflow."""

    def log_round(self, number: int, metrics: Mapping[str, float]) -> None:
        """Metrics of a round that is complete."""


class FederatedRecord:
    """Keeps ``federated.json``, and the averaged weights as ``model.pt`` with ``model.json``, in a folder.

    Both are replaced after each round, each in one step, so that a server that dies has left the last complete round.

    Args:
        folder: it is made.
        plan: of the training.
        settings: plain values of the bundle's config, which ``model.json`` needs to say what the weights are of.
        log: follows the rounds.
    """

    def __init__(
        self, folder: str | Path, plan: FederatedPlan, *, settings: Mapping[str, Any], log: RoundsLog | None = None
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._plan, self._settings, self._log = plan, dict(settings), log
        self._images: dict[str, int] = {}
        self.content: dict[str, Any] = {
            "status": "preparing",
            "plan": plan.as_plain(),
            "images": self._images,
            "lost": {},
            "rounds": [],
        }
        self._write()

    def begin(self, images: Mapping[str, int]) -> None:
        """Round 1 starts, with so many training images at each site."""
        self._images.update(images)
        self.content["status"] = "running"
        self._write()

    def lost(self, number: int, site: str, reason: str) -> None:
        """A site is left out from a round on."""
        self.content["lost"][site] = {"round": number, "reason": reason}
        self._write()

    def trained(self, number: int, images: Mapping[str, int], metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Whose weights a round averages, with the images that they are weighted by and their metrics."""
        sites = {site: {"images": images[site], "training": dict(metrics[site])} for site in sorted(images)}
        self.content["rounds"].append({"round": number, "sites": sites})

    def end_round(self, number: int, weights: Mapping[str, Tensor], metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Keep the weights of a round, and what the sites found them to be on their held-out images."""
        last = self.content["rounds"][-1]
        for site, values in metrics.items():
            last["sites"][site]["validation"] = dict(values)
        means = {
            **weighted_metrics({site: entry["training"] for site, entry in last["sites"].items()}, self._images),
            **weighted_metrics(metrics, self._images),
        }
        last["mean"] = means
        described = {**self._settings, "rounds": number, "sites": sorted(last["sites"]), "bundle": self._plan.bundle}
        write_model(self.folder / MODEL_FILE, weights, metadata={**described, "metrics": means})
        self._write()
        if self._log is not None:
            self._log.log_round(number, {**means, "sites": float(len(last["sites"]))})

    def summary(self) -> str:
        """The last round's means, as the end of a line in a log."""
        means = self.content["rounds"][-1]["mean"]
        return "".join(f" {name} {value:.4f}" for name, value in means.items())

    def finish(self, failure: str = "") -> None:
        """The training is complete, or ended with a failure."""
        self.content["status"] = f"failed: {failure}" if failure else "finished"
        self._write()

    def _write(self) -> None:
        text = json.dumps(self.content, indent=2) + "\n"
        write_atomically(self.folder / RECORD_FILE, lambda file: file.write(text.encode()))


def weighted_metrics(metrics: Mapping[str, Mapping[str, float]], images: Mapping[str, int]) -> dict[str, float]:
    """Means over the sites that have a metric, weighted by their training images.

    >>> weighted_metrics({"a": {"auc": 0.5}, "b": {"auc": 0.9}, "c": {}}, {"a": 3, "b": 1, "c": 9})
    {'auc': 0.6}
    """
    names = dict.fromkeys(name for values in metrics.values() for name in values)
    means = {}
    for name in names:
        having = [site for site in sorted(metrics) if name in metrics[site]]
        total = sum(images[site] for site in having)
        means[name] = round(sum(images[site] * metrics[site][name] for site in having) / total, 10)
    return means
