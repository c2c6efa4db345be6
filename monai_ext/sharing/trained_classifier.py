"""The trained classifier of a bundle or package: weights and settings, read without evaluating any config."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from monai_ext.errors import WeightsError
from monai_ext.sharing.bundle_files import BundleFiles

__all__ = ["REFERENCE", "SAFETENSORS", "SETTINGS", "WEIGHTS", "TrainedClassifier", "read_trained_classifier"]

WEIGHTS, SAFETENSORS = "models/model.pt", "models/model.safetensors"
SETTINGS, REFERENCE = "models/model.json", "models/reference.json"
NEEDED = ("backbone", "in_channels", "image_size", "class_names", "window_hu")
BACKBONES = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200")


@dataclass(frozen=True)
class TrainedClassifier:
    """A classifier as training left it.

    Args:
        weights: state dict of the network.
        settings: plain values that training wrote: backbone, image size, classes, window, threshold and others.
        metadata: the bundle's ``metadata.json``.
        sha256: of the weights' file.
        reference: statistics of the training images; None where none were packed.
    """

    weights: dict[str, Tensor] = field(repr=False)
    settings: dict[str, Any]
    metadata: dict[str, Any] = field(repr=False)
    sha256: str
    reference: dict[str, Any] | None = field(repr=False, default=None)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, in the order of the network's outputs."""
        return list(self.settings["class_names"])

    @property
    def positive(self) -> int:
        """Number of the class that is looked for; the last one where the task has none."""
        name = self.settings.get("positive_class")
        return self.class_names.index(name) if name in self.class_names else len(self.class_names) - 1

    @property
    def is_binary(self) -> bool:
        """Whether one of two classes is looked for."""
        return len(self.class_names) == 2 and self.settings.get("positive_class") in self.class_names

    @property
    def body_parts(self) -> list[str]:
        """Body parts of the training, as the metadata name them; none where they do not."""
        return [str(part) for part in self.metadata.get("body_parts") or []]

    @property
    def threshold(self) -> float | None:
        """Probability from which on the positive class is called, as chosen on validation."""
        value = self.settings.get("threshold")
        return None if value is None else float(value)

    @property
    def series_rule(self) -> dict[str, Any] | None:
        """How series of validation patients were called, see ``choose_series_threshold``; None where not measured."""
        return (self.reference or {}).get("series")

    @property
    def call_threshold(self) -> float | None:
        """Probability from which on a series is called positive: chosen for series, else that for slices."""
        return self.threshold if self.series_rule is None else float(self.series_rule["threshold"])

    @property
    def call_threshold_of(self) -> str:
        """What the threshold for series was chosen on, as a part of a sentence."""
        if self.series_rule is None:
            return "chosen on validation for single slices, so that a call for a series is an extrapolation"
        return f"chosen on validation for series, of {self.series_rule['patients']} patients"

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return str(self.metadata.get("version", "unknown"))

    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """The network with its weights, in evaluation mode; it gives logits.

        Raises:
            WeightsError: the weights do not fit the backbone.
        """
        from monai.networks import nets

        settings = self.settings
        network: nn.Module = getattr(nets, settings["backbone"])(
            spatial_dims=2,
            n_input_channels=settings["in_channels"],
            num_classes=len(self.class_names),
            conv1_t_stride=2,
            bias_downsample=False,
        )
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            raise WeightsError(
                f"The weights do not fit a {settings['backbone']} with {len(self.class_names)} classes"
                f" ({str(error).splitlines()[-1].strip()}): weights and settings are of different trainings."
            ) from error
        return network.to(device).eval()


def read_trained_classifier(bundle: BundleFiles) -> TrainedClassifier:
    """Read weights and settings; tensors only are loaded, and a network is built from a list of known ones.

    Raises:
        WeightsError: there are none, they are damaged, or they are no classifier's.
    """
    weights_name = SAFETENSORS if SAFETENSORS in bundle.files else WEIGHTS
    if weights_name not in bundle.files:
        raise WeightsError(
            f"{bundle.path} has no trained model: expected is {WEIGHTS}, which training writes, or a package by `bundle"
            " pack`."
        )
    content = bundle.files[weights_name].read()
    weights, settings = _read_weights(content, weights_name, bundle)
    if SETTINGS in bundle.files:
        settings = _read_json(bundle, SETTINGS)
    _check_settings(settings, bundle)
    reference = _read_json(bundle, REFERENCE) if REFERENCE in bundle.files else None
    if reference is not None:
        _check_reference(reference, bundle)
    return TrainedClassifier(
        weights=weights,
        settings=settings,
        metadata=_read_json(bundle, "configs/metadata.json"),
        sha256=hashlib.sha256(content).hexdigest(),
        reference=reference,
    )


def _read_weights(content: bytes, name: str, bundle: BundleFiles) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        if name == SAFETENSORS:
            return load_safetensors(content), {}
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged files raise errors of many types
        raise WeightsError(
            f"{name} of {bundle.path} cannot be read as weights ({type(error).__name__}): it is damaged, or holds more"
            " than tensors. Copy it again."
        ) from error
    if isinstance(loaded, Mapping) and set(loaded) == {"state_dict", "metadata"}:
        return dict(loaded["state_dict"]), dict(loaded["metadata"])
    return dict(loaded), {}


def _read_json(bundle: BundleFiles, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads(bundle.files[name].read()))
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{name} of {bundle.path} cannot be read ({error}). Copy or train it again.") from error


def _check_reference(reference: Mapping[str, Any], bundle: BundleFiles) -> None:
    """What is read of the statistics by more than :class:`DistanceModel` has to be of the right form."""
    try:
        if (rule := reference.get("series")) is not None:
            float(rule["threshold"]), int(rule["patients"])
        if (thickness := reference.get("slice_thickness_mm")) is not None:
            _, _ = map(float, thickness)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{REFERENCE} of {bundle.path} is damaged ({type(error).__name__}: {error}). Copy or pack it again."
        ) from error


def _check_settings(settings: Mapping[str, Any], bundle: BundleFiles) -> None:
    missing = [name for name in NEEDED if name not in settings]
    if missing:
        raise WeightsError(
            f"The model of {bundle.path} does not say its {', '.join(missing)}: it is no trained classifier. Encoders"
            " of pre-training give features, not answers."
        )
    plain = {"in_channels": int, "image_size": int, "class_names": list, "window_hu": list}
    wrong = [name for name, kind in plain.items() if not isinstance(settings[name], kind)]
    if settings["backbone"] not in BACKBONES or wrong:
        raise WeightsError(
            f"The model of {bundle.path} has settings that cannot be: backbone {settings['backbone']!r}"
            f"{', ' if wrong else ''}{', '.join(wrong)}. Accepted backbones: {', '.join(BACKBONES)}."
        )
