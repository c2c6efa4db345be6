"""Build the encoder that a file holds, with its weights and what the file says about its images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.networks.nets.resnet import ResNet

from monai_ext.errors import WeightsError
from monai_ext.networks.encoder import build_encoder
from monai_ext.networks.weights.encoder import EncoderLoadReport, load_encoder
from monai_ext.networks.weights.files import read_weights_and_metadata
from monai_ext.networks.weights.layouts import find_encoder, name_architecture

__all__ = ["PLACES_IN_FOLDERS", "open_encoder"]

PLACES_IN_FOLDERS = ("encoder.pt", "models/encoder.pt")
"""Where an exported encoder lies in the folder of a run, or of a bundle."""


def open_encoder(
    source: str | os.PathLike[str], *, prefix: str | None = None
) -> tuple[ResNet, EncoderLoadReport, dict[str, Any]]:
    """Build the ResNet that ``source`` holds and load it, whatever wrote the file.

    Args:
        source: a file that :func:`~monai_ext.networks.weights.load_encoder` reads; the folder of a run or of a bundle
            that has an exported encoder; or an MLflow run, as ``runs:/<run id>`` or ``runs:/<run id>/encoder``,
            looked up as :func:`~monai_ext.networks.weights.read_weights` does.
        prefix: what stands before ``conv1.weight`` in the file, where it holds several ResNets.

    Returns:
        The encoder in evaluation mode on the CPU; what was loaded; and the settings that the file has of its images
        (``image_size``, ``window``, ``method`` ...), empty for files of others.

    Raises:
        WeightsError: the file cannot be read, holds no encoder, or one of an architecture that is not built here.

    Example:
        >>> import tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save(build_encoder("resnet18").state_dict(), f"{folder}/encoder.pt")
        ...     encoder, report, settings = open_encoder(folder)
        >>> report.architecture, settings
        ('2D resnet18', {})
    """
    place = _locate(str(source))
    content = read_weights_and_metadata(place)
    found = find_encoder(content, source=place, prefix=prefix)
    architecture = name_architecture(found.tensors)
    dimensions, _, name = architecture.partition("D ")
    try:
        encoder = build_encoder(
            name, spatial_dims=int(dimensions), in_channels=int(found.tensors["conv1.weight"].shape[1])
        )
    except ValueError as error:
        raise WeightsError(f"The encoder of {source} is a {architecture}, which is not built here: {error}") from error
    report = load_encoder(encoder, content, prefix=prefix)
    return encoder.eval(), report, _settings(content)


def _locate(source: str) -> str:
    """The file that is meant by a folder, and the artifact that is meant by a run."""
    if source.startswith("runs:/"):
        return source if "/" in source.removeprefix("runs:/").strip("/") else f"{source.rstrip('/')}/encoder"
    folder = Path(source).expanduser()
    return next((str(folder / name) for name in PLACES_IN_FOLDERS if (folder / name).is_file()), source)


def _settings(content: Mapping[str, Any]) -> dict[str, Any]:
    """What an export (or model) or a training checkpoint of ours says of itself."""
    found = content.get("metadata", content.get("settings"))
    return dict(found) if isinstance(found, Mapping) else {}
