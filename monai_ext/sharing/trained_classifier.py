"""The trained classifier of a bundle or package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from monai_ext.errors import WeightsError
from monai_ext.sharing.bundle_files import BundleFiles
from monai_ext.sharing.trained_model import TrainedModel, read_parts, refuse_mr

__all__ = ["TrainedClassifier", "read_trained_classifier"]

NEEDED = ("backbone", "in_channels", "image_size", "class_names", "window_hu")
BACKBONES = ("resnet10", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200")


class TrainedClassifier(TrainedModel):
    """A classifier as training left it; see :class:`~monai_ext.sharing.trained_model.TrainedModel`."""

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
    parts = read_parts(bundle)
    _check_settings(parts["settings"], bundle)
    return TrainedClassifier(**parts)


def _check_settings(settings: Mapping[str, Any], bundle: BundleFiles) -> None:
    if (kind := settings.get("task_kind", "classification")) != "classification":
        raise WeightsError(
            f"The model of {bundle.path} does {kind}, not classification: `bundle pack` and `infer` take it, what asks"
            " for classes and their probabilities does not."
        )
    refuse_mr(settings, bundle)
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
