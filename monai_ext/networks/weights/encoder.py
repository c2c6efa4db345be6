"""Load an encoder from whichever file it was published in."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from monai.networks.nets.resnet import ResNet
from torch import Tensor

from monai_ext.errors import WeightsError
from monai_ext.networks.weights.comparison import check_finite, differences, preview
from monai_ext.networks.weights.files import read_weights_and_metadata
from monai_ext.networks.weights.layouts import EncoderInFile, find_encoder, name_architecture

__all__ = ["EncoderLoadReport", "load_encoder"]

logger = logging.getLogger(__name__)

_HEAD = ("fc.weight", "fc.bias")
# Parts that a method or a task puts on top of the encoder; they may stay unread.
_TOPS = ("fc.", "projection_head.", "prototypes.", "projector.", "predictor.", "classifier.", "head.")
_STEM = "conv1.weight"


@dataclass(frozen=True)
class EncoderLoadReport:
    """What :func:`load_encoder` did.

    Args:
        source: the file.
        layout: kind of file: "torchvision", "RadImageNet", "MedicalNet", "encoder export", "MoCo", "SparK ...".
        architecture: such as "2D resnet50".
        loaded: names of the network's entries that now come from the file.
        missing: names of the network's entries that the file did not give: nothing, or the classification head.
        dropped: names of the file's tensors that were not used.
        stem: "as stored", or how the first convolution was adapted to the network's channels.
        metadata: what the file says about itself (our exports do).
    """

    source: str
    layout: str
    architecture: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    dropped: tuple[str, ...]
    stem: str = "as stored"
    metadata: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        head = "; the classification head is not in the file and keeps its own weights" if self.missing else ""
        dropped = f"; not used: {preview(self.dropped)}" if self.dropped else ""
        return (
            f"Loaded {len(self.loaded)} entries of a {self.architecture} from {self.source} (layout: {self.layout}), "
            f"stem {self.stem}{head}{dropped}."
        )


def load_encoder(
    network: ResNet, source: str | os.PathLike[str] | Mapping[str, Any], *, prefix: str | None = None
) -> EncoderLoadReport:
    """Load the encoder that ``source`` holds into ``network``; all of it, or nothing and an error.

    Read are our exports and training checkpoints, torchvision's and timm's ResNets, and the published checkpoints of
    SparK, SwAV, MoCo and BYOL; ``docs/weights.md`` has the list. Of a method's two encoders it is the one that is
    trained by gradient. Only the classification head may be missing, in the file or in the network; a head for
    another number of classes, and the projection head of a method, are dropped and reported.

    A stem for three channels is summed over its channels for a network of one channel, and a stem for one channel is
    repeated, divided by three, for a network of three: the response to a gray image stays the same.

    Args:
        network: a MONAI ResNet, 2D or 3D, with or without head (:func:`monai_ext.networks.build_encoder`).
        source: a file, an MLflow uri (see :func:`monai_ext.networks.weights.read_weights`), or a state dict.
        prefix: what stands before ``conv1.weight`` in the file; needed only where a file holds several ResNets in an
            arrangement that is not known.

    Raises:
        WeightsError: When the file cannot be read, holds no encoder, or does not fit the network; the network is
            unchanged then.
        TypeError: When ``network`` is not a MONAI ResNet.

    Example:
        >>> from monai_ext.networks import build_encoder
        >>> load_encoder(build_encoder("resnet18"), build_encoder("resnet18", in_channels=3).state_dict()).stem
        'summed over 3 channels'
    """
    if not isinstance(network, ResNet):
        raise TypeError(
            f"An encoder was to be loaded into a {type(network).__name__}; accepted is a ResNet of "
            "monai.networks.nets. Of a pre-training model, give its encoder."
        )
    content = source if isinstance(source, Mapping) else read_weights_and_metadata(source)
    name = "the given state dict" if isinstance(source, Mapping) else str(source)
    found = find_encoder(content, source=name, prefix=prefix)
    expected = network.state_dict()
    weights, stem = _fit(found, expected, name)
    network.load_state_dict({**expected, **weights})
    metadata = content.get("metadata")
    report = EncoderLoadReport(
        source=name,
        layout=found.layout,
        architecture=name_architecture(found.tensors),
        loaded=tuple(weights),
        missing=tuple(key for key in _HEAD if key in expected and key not in weights),
        dropped=tuple(key for name, key in found.keys.items() if name not in weights) + found.others,
        stem=stem,
        metadata=dict(metadata) if isinstance(metadata, Mapping) else {},
    )
    logger.info("%s", report)
    if found.layout == "MedicalNet":
        logger.warning(
            "These names are those of MedicalNet, whose last two stages are dilated (by 2 and 4) and keep the"
            " resolution of the second; this network halves it twice more. The weights fit, but compute something else"
            " until they are fine-tuned."
        )
    is_own = found.layout == "encoder export" or found.layout.endswith("training checkpoint")
    if not is_own and network.conv1.stride[0] != 2:
        logger.warning(
            "The network's first convolution has stride %d; the ResNets of torchvision and of the study have 2, and "
            "their weights expect it. Build the network with conv1_t_stride=2.",
            network.conv1.stride[0],
        )
    return report


def _fit(found: EncoderInFile, expected: dict[str, Tensor], source: str) -> tuple[dict[str, Tensor], str]:
    weights = {key: value for key, value in found.tensors.items() if not key.startswith(_TOPS)}
    if not found.pretext and all(_same_shape(found.tensors, expected, key) for key in _HEAD):
        weights.update({key: found.tensors[key] for key in _HEAD})
    stem, how = _adapt_stem(weights[_STEM], expected[_STEM], source, found.layout)
    weights[_STEM] = stem
    _check_architecture(weights, expected, found, source)
    check_finite(weights, source)
    return weights, how


def _same_shape(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], key: str) -> bool:
    return key in tensors and key in expected and tensors[key].shape == expected[key].shape


def _adapt_stem(stem: Tensor, expected: Tensor, source: str, layout: str) -> tuple[Tensor, str]:
    if stem.ndim != expected.ndim:
        raise WeightsError(
            f"Nothing was loaded from {source}: it holds a {stem.ndim - 2}D encoder (layout: {layout}) and the "
            f"network is {expected.ndim - 2}D. Weights are not "
            f"converted between dimensions; take a {stem.ndim - 2}D network, or weights that were trained in "
            f"{expected.ndim - 2}D."
        )
    channels, wanted = stem.shape[1], expected.shape[1]
    if channels == wanted:
        return stem, "as stored"
    if channels == 3 and wanted == 1:
        return stem.sum(dim=1, keepdim=True, dtype=torch.float64), "summed over 3 channels"
    if channels == 1 and wanted == 3:
        repeats = (1, 3) + (1,) * (stem.ndim - 2)
        return stem.double().repeat(repeats) / 3, "repeated over 3 channels, divided by 3"
    raise WeightsError(
        f"Nothing was loaded from {source}: it holds an encoder for {channels} channels and the network takes "
        f"{wanted}. Stems are adapted from 3 "
        "channels to 1 and from 1 to 3 only; build the network for the channels of the file."
    )


def _check_architecture(
    weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], found: EncoderInFile, source: str
) -> None:
    # torchvision's files from before 2018 have no num_batches_tracked; batch norm does not need it here.
    optional = (*_HEAD, *(key for key in expected if key.endswith("num_batches_tracked")))
    faults = differences(weights, expected, optional=optional)
    if faults:
        raise WeightsError(
            f"Nothing was loaded from {source}: it holds a {name_architecture(found.tensors)} (layout: "
            f"{found.layout}) and the network is a {name_architecture(expected)}. Entries {faults}. "
            f"{_advice(weights, expected)}"
        )


def _advice(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    if any(key.endswith("downsample.0.bias") and key not in weights for key in expected):
        return "If the depth is right, build the network with bias_downsample=False, as torchvision's ResNets are."
    return 'Build the network that the file was made for, e.g. with monai_ext.networks.build_encoder("resnet50").'
