"""Continue from a full SparK pre-training checkpoint, encoder and decoder, as the authors of SparK publish them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from monai_ext.errors import WeightsError
from monai_ext.networks.spark.spark import SparK
from monai_ext.networks.weights.comparison import check_finite, differences, preview
from monai_ext.networks.weights.files import read_weights
from monai_ext.networks.weights.layouts import named_tensors

__all__ = ["SparKLoadReport", "load_spark_checkpoint"]

logger = logging.getLogger(__name__)

# Names of the published checkpoints (github.com/keyu-tian/SparK), and ours. Level 0 is the deepest in both.
_RENAMED = (
    (re.compile(r"sparse_encoder\.sp_cnn\.(.+)"), r"encoder.\1"),
    (re.compile(r"dense_decoder\.dec\.(\d+)\.up_sample\.(.+)"), r"decoder.levels.\1.upsample.\2"),
    (re.compile(r"dense_decoder\.dec\.(\d+)\.conv\.(.+)"), r"decoder.levels.\1.convolutions.\2"),
    (re.compile(r"dense_decoder\.proj\.(.+)"), r"decoder.projection.\1"),
    (re.compile(r"densify_norms\.(.+)"), r"densify_norms.\1"),
    (re.compile(r"densify_projs\.(.+)"), r"densify_projections.\1"),
    (re.compile(r"mask_tokens\.(\d+)"), r"mask_tokens.\1"),
)
_NOT_NEEDED = ("imn_m", "imn_s", "norm_black")


@dataclass(frozen=True)
class SparKLoadReport:
    """What :func:`load_spark_checkpoint` did.

    Args:
        source: the file.
        loaded: names of the model's entries, all of them.
        dropped: names of the file's tensors that were not needed.
        config: what the file says about its training, such as ``mask_ratio``.
    """

    source: str
    loaded: tuple[str, ...]
    dropped: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=dict)


def load_spark_checkpoint(model: SparK, source: str | os.PathLike[str] | Mapping[str, Any]) -> SparKLoadReport:
    """Load a full pre-training checkpoint of SparK's authors into ``model``; all of it, or nothing and an error.

    The published checkpoints are of ResNets with batch norm, three channels (ImageNet mean and standard deviation),
    and a decoder of width 768: ``SparK(build_encoder("resnet50", in_channels=3), SparKDecoder(768, out_channels=3))``.
    To take the encoder alone, into any ResNet, use :func:`monai_ext.networks.weights.load_encoder`.

    Args:
        model: a SparK of the same encoder, channels and decoder width.
        source: a file, an MLflow uri (see :func:`monai_ext.networks.weights.read_weights`), or a state dict.

    Raises:
        WeightsError: When the file cannot be read, is of another layout, or does not fit the model (the keys are
            named); the model is unchanged then.
    """
    name = "the given state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_weights(source)
    if isinstance(content.get("module"), Mapping):
        content = content["module"]
    weights, dropped, unknown = _rename(named_tensors(content))
    if not weights:
        raise WeightsError(
            f"Nothing was loaded from {name}: it is not a SparK pre-training checkpoint in its authors' "
            f"layout (sparse_encoder.sp_cnn., dense_decoder., densify_norms., ...). It holds "
            f"{preview([*content]) or 'nothing'}. For an encoder alone use load_encoder."
        )
    _check(weights, unknown, model.state_dict(), name)
    model.load_state_dict(weights)
    config = content.get("config")
    report = SparKLoadReport(name, tuple(weights), tuple(dropped), dict(config) if isinstance(config, Mapping) else {})
    logger.info("Loaded all %d entries of a SparK model from %s; the file says %s.", len(weights), name, report.config)
    return report


def _rename(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str], list[str]]:
    weights: dict[str, Tensor] = {}
    dropped, unknown = [], []
    for key, value in tensors.items():
        matches = ((pattern.fullmatch(key), template) for pattern, template in _RENAMED)
        ours = next((match.expand(template) for match, template in matches if match), None)
        if ours is not None:
            weights[ours] = value
        elif key in _NOT_NEEDED:
            dropped.append(key)
        else:
            unknown.append(key)
    return weights, dropped, unknown


def _check(weights: Mapping[str, Tensor], unknown: list[str], expected: Mapping[str, Tensor], source: str) -> None:
    faults = differences(weights, expected, unknown=unknown)
    if faults:
        raise WeightsError(
            f"Nothing was loaded from {source}: it does not fit the SparK model. Entries {faults}. Build "
            "the model with the file's encoder, channels (3 in the published files) and decoder width (768)."
        )
    check_finite(weights, source)
