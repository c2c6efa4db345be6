"""What a bundle or package holds of a trained network: weights and settings, read without evaluating any config."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from monai_ext.errors import WeightsError
from monai_ext.files import parse_json
from monai_ext.networks.weights.model_file import MODEL_FILE, REFERENCE_FILE, SAFETENSORS_FILE
from monai_ext.sharing.bundle_files import BundleFiles

__all__ = ["REFERENCE", "SAFETENSORS", "SETTINGS", "WEIGHTS", "TrainedModel", "read_parts", "refuse_mr", "task_kind_of"]

WEIGHTS, SAFETENSORS = f"models/{MODEL_FILE}", f"models/{SAFETENSORS_FILE}"
SETTINGS, REFERENCE = "models/model.json", f"models/{REFERENCE_FILE}"


@dataclass(frozen=True)
class TrainedModel(ABC):
    """A network as training left it.

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
    def name(self) -> str:
        """Of the model, as its bundle says it."""
        return str(self.metadata.get("name", self.settings.get("bundle", "a model")))

    @property
    def body_parts(self) -> list[str]:
        """Body parts of the training, as the metadata name them; none where they do not."""
        return [str(part) for part in self.metadata.get("body_parts") or []]

    @property
    def threshold(self) -> float | None:
        """Probability from which on what is looked for is called, as chosen on validation."""
        value = self.settings.get("threshold")
        return None if value is None else float(value)

    @property
    def version(self) -> str:
        """Version of the bundle."""
        return str(self.metadata.get("version", "unknown"))

    def about(self, **outputs: Any) -> dict[str, Any]:
        """What answers say of it: name, version, SHA-256 of the weights, its outputs, threshold, intended use."""
        identity = {"name": self.name, "version": self.version, "sha256": self.sha256}
        return identity | outputs | {"threshold": self.threshold, "intended_use": self.metadata.get("intended_use")}

    @abstractmethod
    def build(self, device: torch.device | str = "cpu") -> nn.Module:
        """The network with its weights, in evaluation mode; it gives logits.

        Raises:
            WeightsError: the weights do not fit the network.
        """


def task_kind_of(bundle: BundleFiles) -> str:
    """What the network of a bundle does: ``"classification"``, where its settings say nothing else.

    Raises:
        WeightsError: its settings cannot be read.
    """
    settings = _read_json(bundle, SETTINGS) if SETTINGS in bundle.files else {}
    return str(settings.get("task_kind", "classification"))


def refuse_mr(settings: Mapping[str, Any], bundle: BundleFiles) -> None:
    """Models of MR are trained and evaluated, but series of a hospital's MR are not answered with them yet.

    Raises:
        WeightsError: the model was trained on MR.
    """
    if settings.get("modality") == "MR":
        raise WeightsError(
            f"The model of {bundle.path} was trained on MR, which has no Hounsfield units: `infer` and packages answer"
            " CT only. Make a slice store of the MR (`python -m monai_ext ingest SOURCE STORE --kind mr`) and run the"
            " bundle's evaluate.json on it."
        )


def read_parts(bundle: BundleFiles) -> dict[str, Any]:
    """Arguments of a :class:`TrainedModel`; tensors only are loaded.

    Raises:
        WeightsError: there are none, or they are damaged.
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
    reference = _read_json(bundle, REFERENCE) if REFERENCE in bundle.files else None
    if reference is not None:
        _check_reference(reference, bundle)
    return {
        "weights": weights,
        "settings": settings,
        "metadata": _read_json(bundle, "configs/metadata.json"),
        "sha256": hashlib.sha256(content).hexdigest(),
        "reference": reference,
    }


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
        return dict(parse_json(bundle.files[name].read()))
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{name} of {bundle.path} cannot be read ({error}). Copy or train it again.") from error


def _check_reference(reference: Mapping[str, Any], bundle: BundleFiles) -> None:
    """What is read of the statistics besides distances has to be of the right form."""
    try:
        if (rule := reference.get("series")) is not None:
            float(rule["threshold"]), int(rule["patients"])
        if (thickness := reference.get("slice_thickness_mm")) is not None:
            _, _ = map(float, thickness)
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{REFERENCE} of {bundle.path} is damaged ({type(error).__name__}: {error}). Copy or pack it again."
        ) from error
