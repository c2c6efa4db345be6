"""The trained model of a bundle, as evaluation and inference find it: its settings, its threshold, its weights."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_ext.errors import WeightsError
from monai_ext.networks.ensemble import ProbabilityEnsemble
from monai_ext.networks.weights import read_model, read_model_metadata
from monai_ext.networks.weights.model_file import MODEL_FILE
from monai_ext.running_config import refusal

__all__ = ["TrainedModel", "latest_model", "load_model"]

logger = logging.getLogger(__name__)

_SHARED = ("backbone", "in_channels", "image_size", "window", "class_names")
"""What models must have in common to be one ensemble."""


class _UnknownSettingError(WeightsError, AttributeError):
    """A model's metadata lacks a setting."""


class TrainedModel:
    """One trained model, or several that are judged as one; what training wrote about it are attributes.

    In a config ``"$@trained.image_size"`` is the image size of the training.

    Args:
        models: path of a file that :class:`~monai_ext.handlers.ModelPublisher` wrote, or paths of several.

    Raises:
        WeightsError: there is none, a file or its metadata cannot be read, or models differ in backbone, channels,
            image size, window or classes; and when a setting is asked for that training did not write.
    """

    def __init__(self, models: str | Sequence[str]) -> None:
        self.paths = [models] if isinstance(models, str) else list(models)
        if not self.paths:
            raise WeightsError("No model was named: give one path, or a list of them, with --models.")
        self._settings = [read_model_metadata(path) for path in self.paths]
        self._check_agreement()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._settings[0]:
            raise _UnknownSettingError(
                f"The model {self.paths[0]} does not say its {name}, which training writes into its metadata: give the "
                "value in the config id that asks for it."
            )
        return self._settings[0][name]

    @property
    def threshold(self) -> float | None:
        """The mean of the thresholds that the trainings chose on validation; None when one has none."""
        chosen = [settings["threshold"] for settings in self._settings if settings.get("threshold") is not None]
        return sum(chosen) / len(chosen) if len(chosen) == len(self.paths) else None

    def details(self, dataset: Any) -> dict[str, Any]:
        """What to keep beside the results of an evaluation, as plain values: the model and the data.

        ``same_data_as_training`` says whether the dataset is of the data of the training, so that its validation
        section was held out. Other data is not wrong, since all of it is new to the model, but seldom meant when it is
        the embedded sample: a warning says so.

        Args:
            dataset: with ``fingerprint`` and ``describe()``.

        Raises:
            WeightsError: the voxels of the data have another spacing than those of the training.
        """
        self._check_spacing(dataset.describe().get("spacing_mm"))
        same = dataset.fingerprint == self._settings[0].get("data_fingerprint")
        if not same:
            logger.warning(
                "The model %s was trained on other data than what it is evaluated on. Name the training's folder with"
                " --dataset_dir to measure on what was held out of it.",
                self.paths[0],
            )
        return {
            "models": self.paths,
            "fold": self._settings[0].get("fold"),
            "section": dataset.describe()["section"],
            "data_fingerprint": dataset.fingerprint,
            "same_data_as_training": same,
        }

    def _check_spacing(self, spacing_mm: Sequence[float] | None) -> None:
        trained = self._settings[0].get("spacing_mm")
        if trained != spacing_mm:
            raise WeightsError(
                f"The model {self.paths[0]} was trained on {_of_spacing(trained)}, the data is read as"
                f" {_of_spacing(spacing_mm)}. Name volumes.json with the model of volumes only, and the spacing of its"
                " training with --slices::spacing_mm."
            )

    def _check_agreement(self) -> None:
        for name in _SHARED:
            values = [settings.get(name) for settings in self._settings]
            for path, value in zip(self.paths, values, strict=True):
                if value != values[0]:
                    raise WeightsError(
                        f"These models cannot be one ensemble: {name} is {values[0]!r} in {self.paths[0]} and {value!r}"
                        f" in {path}. Evaluate them one by one."
                    )


def _of_spacing(spacing_mm: Sequence[float] | None) -> str:
    return "slices" if spacing_mm is None else f"volumes of {' x '.join(f'{side:g}' for side in spacing_mm)} mm"


def latest_model(bundle_root: str) -> str:
    """Path of the model that was published last in a bundle.

    Raises:
        FileNotFoundError: nothing was trained yet.
    """
    path = Path(bundle_root) / "models" / MODEL_FILE
    if not path.is_file():
        raise refusal(
            FileNotFoundError(
                f"There is no trained model {path} yet: run configs/train.json to its end first, or name a model file "
                "with --model_path, or --models for a classifier."
            )
        )
    return str(path)


def load_model(
    network: nn.Module, *, model: str | TrainedModel, device: torch.device | str = "cpu"
) -> nn.Module | ProbabilityEnsemble:
    """The network with the weights of a model, all of them and no others, on a device, in evaluation mode.

    Args:
        network: of the architecture that was trained.
        model: path of a file that training wrote, or what :class:`TrainedModel` found. Several models become one
            classifier, whose probabilities are the mean of theirs.
        device: where to put it.

    Raises:
        WeightsError: a file is damaged or no such file, or its weights do not fit, such as those of another
            architecture or for another number of classes.
    """
    paths = model.paths if isinstance(model, TrainedModel) else [model]
    if len(paths) == 1:
        return _load(network, paths[0]).to(device).eval()
    return ProbabilityEnsemble([_load(copy.deepcopy(network), path) for path in paths]).to(device).eval()


def _load(network: nn.Module, path: str) -> nn.Module:
    weights = read_model(path)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        differences = str(error).splitlines()[1:]
        differing = "; ".join(line.strip() for line in differences[:3])
        raise WeightsError(
            f"The weights of {path} do not fit the network of this config ({differing}; {len(differences)} differences "
            f"in all). The model was trained with {read_model_metadata(path)}: use the same settings."
        ) from error
    return network
