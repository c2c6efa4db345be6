"""Where a fine-tuning starts from: random weights, or an encoder of a pre-training, with a record of which one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from monai.networks.nets.resnet import ResNet
from torch import nn

from monai_ext.files import file_sha256
from monai_ext.networks.weights.encoder import load_encoder

__all__ = ["StartingPoint", "name_start", "start_from"]

logger = logging.getLogger(__name__)

_RUNS = "runs:/"
_LINEAGE = ("method", "images_seen", "window", "data_fingerprint", "monai_ext_version")


@dataclass(frozen=True)
class StartingPoint:
    """A network that is ready to be fine-tuned.

    Attributes:
        network: with the encoder's weights, and a head of its own.
        pretrained: whether there is anything but random weights in it.
        run_id: MLflow run of the pre-training; None where it is not known.
        lineage: where the weights come from, as plain values for tracking.
    """

    network: nn.Module
    pretrained: bool = False
    run_id: str | None = None
    lineage: dict[str, Any] = field(default_factory=lambda: {"pretrained": "none"})

    @property
    def name(self) -> str:
        """In a word: the method of the pre-training, else the layout of its file, or ``scratch``."""
        return name_start(self.lineage)

    @property
    def settings(self) -> dict[str, Any]:
        """What a run is described by, as plain values."""
        return {"lineage": self.lineage}


def name_start(lineage: Mapping[str, Any]) -> str:
    """In a word, where the weights come from that this ``lineage`` tells of."""
    return str(lineage.get("pretrained_method") or lineage.get("pretrained_layout") or "scratch")


def start_from(network: nn.Module, *, pretrained: str | None = None, encoder: ResNet | None = None) -> StartingPoint:
    """Load a pre-trained encoder into a classifier or a segmentation network, or leave it as it was initialised.

    Everything but the head has to come from the file; the head always starts at random, even where the file has one of
    the right size. What was loaded is logged.

    Args:
        network: the classifier, a ResNet of MONAI; or a network that has ``encoder`` as a part.
        pretrained: None; a file in any layout that :func:`~monai_ext.networks.weights.load_encoder` reads; or
            ``runs:/<run id>/encoder``, an encoder that MLflow has.
        encoder: the ResNet to load into; the network itself when omitted.

    Raises:
        WeightsError: the file cannot be read, or something besides the head is missing, left over, or of another shape.
    """
    if pretrained is None:
        logger.info("Training starts from random weights; name an encoder with --pretrained to start from it.")
        return StartingPoint(network)
    target = encoder if encoder is not None else cast(ResNet, network)
    head = {name: value.clone() for name, value in target.state_dict().items() if name.startswith("fc.")}
    report = load_encoder(target, pretrained)
    target.load_state_dict({**target.state_dict(), **head})
    run_id = _run_id(pretrained, report.metadata)
    lineage = {
        "pretrained": pretrained,
        "pretrained_layout": report.layout,
        "pretrained_entries": len(set(report.loaded) - set(head)),
        "pretrained_run_id": run_id,
        "pretrained_sha256": _sha256(pretrained),
    }
    origin = {f"pretrained_{name}": report.metadata[name] for name in _LINEAGE if name in report.metadata}
    return StartingPoint(network, pretrained=True, run_id=run_id, lineage=lineage | origin)


def _run_id(source: str, metadata: dict[str, Any]) -> str | None:
    if source.startswith(_RUNS):
        return source.removeprefix(_RUNS).partition("/")[0]
    run_id = str(metadata.get("mlflow_run_id") or "")
    return run_id if run_id.isalnum() else None  # a run that MLflow had not opened yet has a substitute with signs


def _sha256(source: str) -> str | None:
    """Of a file; None for what MLflow keeps, whose run id tells it."""
    path = Path(source).expanduser()
    return file_sha256(path) if path.is_file() else None
