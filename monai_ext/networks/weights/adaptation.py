"""What somebody without this package needs to use an exported encoder: its network and its input, as plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from monai.networks.nets.resnet import ResNet
from torch import nn

from monai_ext.networks.weights.layouts import name_architecture
from monai_ext.transforms.window import PERCENTILES, hounsfield_windows

__all__ = ["adaptation_plan"]


def adaptation_plan(encoder: nn.Module, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The plan by which an encoder is loaded with MONAI alone, and fed as in its pre-training.

    ``network`` has the name of a function of ``monai.networks.nets`` and its arguments, with which the state dict loads
    strictly; it is None for an architecture without such a name. ``input`` says what images are: channels, dimensions,
    the image size of the training, and which Hounsfield units (bounds of each window) became 0 and 1; gray levels of
    pictures are divided by white, and of MR two percentiles of each series are 0 and 1
    (:mod:`monai_ext.data.percentiles`). ``modality`` is ``"CT"``, ``"MR"``, or None where pictures do not tell. Of
    volumes it also says the distance of voxels in mm, slices first, and where the axes point (``"SPL"``: superior,
    posterior, left). Nothing is scaled by an image's own minimum, maximum, mean or standard deviation.

    Args:
        encoder: that is exported.
        settings: of the training; ``image_size``, ``window``, ``modality``, ``spacing_mm`` and ``axes`` are looked for.

    Example:
        >>> from monai_ext.networks import build_encoder
        >>> plan = adaptation_plan(build_encoder("resnet18"), {"image_size": 224, "window": "lung"})
        >>> plan["network"]["name"], plan["input"]["window_hu"]
        ('resnet18', [[-1350.0, 150.0]])
    """
    named = re.fullmatch(r"([23])D (resnet\d+)", name_architecture(encoder.state_dict()))
    network = None
    if named is not None and isinstance(encoder, ResNet):
        network = {
            "name": named[2],
            "arguments": {
                "spatial_dims": int(named[1]),
                "n_input_channels": encoder.conv1.in_channels,
                "conv1_t_stride": int(encoder.conv1.stride[0]),
                "bias_downsample": False,
                "feed_forward": False,
            },
        }
    stem: Any = getattr(encoder, "conv1", None)
    window = settings.get("window")
    windows = () if window is None else hounsfield_windows(window)
    return {
        "network": network,
        "input": {
            "channels": getattr(stem, "in_channels", None),
            "spatial_dims": None if stem is None else stem.weight.ndim - 2,
            "image_size": settings.get("image_size"),
            "modality": "MR" if window == PERCENTILES else settings.get("modality"),
            "window_hu": [[window.lower_hu, window.upper_hu] for window in windows],
            "range": [0.0, 1.0],
            "normalisation": "none",
            **{name: settings[name] for name in ("spacing_mm", "axes") if name in settings},
        },
    }
