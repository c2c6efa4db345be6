"""What a site answers to the server: this, and nothing else, leaves it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from monai_ext.errors import public_text

__all__ = ["SHARED_METRICS", "Answer", "failed", "shared_metrics"]

SHARED_METRICS = ("loss", "val_loss", "auc", "accuracy", "macro_f1", "val_mean_dice", "dice")
"""Numbers about a site's images that are sent. Others are named after what lies at the site, such as labelled sets."""


@dataclass(frozen=True)
class Answer:
    """An answer of a site.

    Attributes:
        weights: what :func:`~monai_ext.federated.shared_state.shared_state` gives; empty where none were asked for.
        metrics: of ``SHARED_METRICS``, finite numbers.
        images: training images of the site, the weight of its answer.
        description: a :class:`~monai_ext.federated.agreement.SiteDescription` as plain values, where that was asked.
        failure: what went wrong, without a name or path; empty where nothing did.
    """

    weights: Mapping[str, Tensor] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    description: Mapping[str, Any] = field(default_factory=dict)
    failure: str = ""


def shared_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Those of ``SHARED_METRICS`` that are there and finite.

    >>> shared_metrics({"auc": 0.75, "knn_accuracy_Doe": 0.5, "loss": float("nan")})
    {'auc': 0.75}
    """
    found = {name: float(metrics[name]) for name in SHARED_METRICS if name in metrics}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def failed(error: BaseException) -> Answer:
    """An answer that tells of an error what may be told elsewhere; the rest is for the site's own log.

    MONAI's wrappers around an error repeat the config and its paths; what is told is the error inside.
    """
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return Answer(failure=public_text(error))
