"""The trained segmentation network of a bundle or package, which marks labels in slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from monai_ext.errors import WeightsError
from monai_ext.foreign_text import listed
from monai_ext.networks import build_segmenter
from monai_ext.networks.encoder import ENCODER_NAMES
from monai_ext.sharing.bundle_files import BundleFiles
from monai_ext.sharing.trained_classifier import TrainedClassifier, read_trained_classifier
from monai_ext.sharing.trained_model import TrainedModel, read_parts, refuse_mr, task_kind_of

__all__ = ["TrainedSegmenter", "read_trained_model", "read_trained_segmenter"]

KIND = "segmentation"
NEEDED: dict[str, type | tuple[type, ...]] = {
    "network": Mapping,
    "in_channels": int,
    "image_size": int,
    "labels": Mapping,
    "window_hu": list,
}
OUTPUTS = ("softmax", "sigmoid")
OURS = "monai_ext.networks.build_segmenter"
"""The network of the segmentation bundles, which backbone, channels and classes say."""

MOST_LABELS = 255


class TrainedSegmenter(TrainedModel):
    """A segmentation network as training left it: 2D, images (B, C, S, S) to logits (B, K, S, S).

    With the output ``"softmax"`` channel 0 is background and channel k the label k; with ``"sigmoid"`` channel k - 1 is
    the label k, and labels may overlap, of which the highest number is kept.
    """

    @property
    def labels(self) -> dict[int, str]:
        """Names by number in the mask; 0 is background and not among them."""
        return {int(number): str(name) for number, name in sorted(self.settings["labels"].items()) if int(number) > 0}

    @property
    def output(self) -> str:
        """How logits become probabilities: ``"softmax"`` or ``"sigmoid"``."""
        return str(self.settings.get("output", "softmax"))

    @property
    def channels(self) -> int:
        """K, of the network's output."""
        return len(self.labels) + (self.output == "softmax")

    @property
    def codes(self) -> dict[str, list[str]]:
        """By label, its DICOM code as ``[value, scheme, meaning]``, for those that have one."""
        return {str(name): [str(part) for part in code] for name, code in (self.settings.get("codes") or {}).items()}

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """The network with its weights, in evaluation mode; it gives logits.

        Memory is taken for the weights that are there only, whatever sizes the settings ask for.

        Raises:
            WeightsError: the weights do not fit the network, or it is none that is known.
        """
        name, arguments = self.settings["network"]["name"], self.settings["network"].get("arguments") or {}
        try:
            with torch.device("meta"):
                network = _networks()[name](**arguments)
            network.load_state_dict(self.weights, assign=True)
            self._try(network.requires_grad_(False).eval())
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise WeightsError(
                f"The weights do not fit {name} with the arguments in the model's settings"
                f" ({str(error).splitlines()[-1].strip()}): weights and settings are of different trainings."
            ) from error
        return network.to(device)

    def _try(self, network: nn.Module) -> None:
        """Make sure that the network takes and gives what the settings say."""
        size, channels = int(self.settings["image_size"]), int(self.settings["in_channels"])
        received = tuple(network(torch.zeros(1, channels, size, size)).shape)
        if received != (1, self.channels, size, size):
            raise ValueError(f"it gives {received} where {(1, self.channels, size, size)} is expected")

    def masks(self, logits: torch.Tensor) -> torch.Tensor:
        """Labels of logits (B, K, H, W): uint8 (B, H, W), 0 is background.

        The likeliest channel where no threshold was chosen, else each label from its threshold on.
        """
        if self.output == "sigmoid":
            called = logits.sigmoid() >= (0.5 if self.threshold is None else self.threshold)
        elif self.threshold is None or self.channels > 2:
            return logits.argmax(dim=1).to(torch.uint8)
        else:
            called = logits.softmax(dim=1)[:, 1:] >= self.threshold
        numbers = torch.arange(1, called.shape[1] + 1, dtype=torch.uint8, device=logits.device)
        return (called.to(torch.uint8) * numbers[:, None, None]).amax(dim=1)


def _networks() -> dict[str, Callable[..., nn.Module]]:
    """Networks that settings may name; nothing else is built."""
    from monai.networks import nets

    known: dict[str, Callable[..., nn.Module]] = {
        f"monai.networks.nets.{name}": getattr(nets, name) for name in ("BasicUNet", "SegResNet", "UNet")
    }
    return known | {OURS: build_segmenter}


def _with_network(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the network that they are of, which our own training leaves to be concluded."""
    backbone, classes = settings.get("backbone"), settings.get("class_names")
    if settings.get("network") is not None or backbone not in ENCODER_NAMES or not isinstance(classes, list):
        return dict(settings)
    arguments = {"backbone": backbone, "in_channels": settings.get("in_channels"), "classes": len(classes)}
    return {**settings, "network": {"name": OURS, "arguments": arguments}}


def read_trained_segmenter(bundle: BundleFiles) -> TrainedSegmenter:
    """Read weights and settings; tensors only are loaded, and a network is built from a list of known ones.

    Raises:
        WeightsError: there are none, they are damaged, or they are no segmentation network's.
    """
    parts = read_parts(bundle)
    parts["settings"] = _with_network(parts["settings"])
    _check_settings(parts["settings"], bundle)
    return TrainedSegmenter(**parts)


def read_trained_model(bundle: BundleFiles) -> TrainedClassifier | TrainedSegmenter:
    """Read what a bundle holds, by what its settings say it does.

    Raises:
        WeightsError: there is no trained model, or one for something else.
    """
    kind = task_kind_of(bundle)
    if kind == KIND:
        return read_trained_segmenter(bundle)
    return read_trained_classifier(bundle)


def _check_settings(settings: Mapping[str, Any], bundle: BundleFiles) -> None:
    refuse_mr(settings, bundle)
    wrong = [name for name, kind in NEEDED.items() if not isinstance(settings.get(name), kind)]
    if wrong:
        raise WeightsError(
            f"The model of {bundle.path} does not say its {', '.join(wrong)} as training writes them: it is no trained"
            " segmentation network."
        )
    labels, name = settings["labels"], settings["network"].get("name")
    numbers = sorted(int(number) for number in labels if str(number).isdecimal() and int(number) > 0)
    if len(numbers) < len(labels) - ("0" in labels) or numbers != list(range(1, len(numbers) + 1)) or not numbers:
        raise WeightsError(
            f"The labels of {bundle.path} are {sorted(labels)}: accepted are whole numbers from 1 on, {MOST_LABELS} at"
            " most."
        )
    codes = settings.get("codes") or {}
    if not isinstance(codes, Mapping) or any(not isinstance(code, list) or len(code) != 3 for code in codes.values()):
        raise WeightsError(f"The codes of {bundle.path} are none: of each label, [value, scheme, meaning].")
    if name not in _networks() or settings.get("output", "softmax") not in OUTPUTS or len(numbers) > MOST_LABELS:
        raise WeightsError(
            f"The model of {bundle.path} has settings that cannot be: network {name!r}, output"
            f" {settings.get('output')!r}. Accepted networks: {listed(_networks())}; outputs: {', '.join(OUTPUTS)}."
        )
