"""The trained model of a bundle: written at the end of training, found and read by evaluation and inference."""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_ext.data import SliceImages
from monai_ext.engines.automatic_choices import settled
from monai_ext.engines.pretraining_trainer import PretrainingTrainer
from monai_ext.errors import WeightsError
from monai_ext.files import write_atomically
from monai_ext.networks.weights.files import weights_on_cpu
from monai_ext.parallel.processes import process_rank, unwrap
from monai_ext.running_config import refusal

__all__ = ["latest_model", "load_model", "model_setting", "publish_model", "trained_on"]

logger = logging.getLogger(__name__)

MODEL_FILE = "model.pt"
ENCODER_FILE = "encoder.pt"


def publish_model(bundle_root: str, *, trainer: PretrainingTrainer, encoder: str, metadata: Mapping[str, Any]) -> None:
    """Put a run's result where the bundle's other configs look: ``models/model.pt`` and ``models/encoder.pt``.

    ``model.pt`` is ``{"state_dict": ..., "metadata": ...}`` of the whole network, readable with ``weights_only=True``;
    ``encoder.pt`` is a copy of the run's export. Each file is replaced in one step, by the first process only.

    Args:
        bundle_root: folder of the bundle.
        trainer: whose training has ended.
        encoder: path of the encoder that :class:`~monai_ext.handlers.EncoderExporter` wrote.
        metadata: plain values with which :func:`model_setting` answers, such as backbone and image size; the MLflow run
            of the training is added as ``mlflow_run_id`` (None without tracking).
    """
    if process_rank() != 0:
        return
    models = Path(bundle_root) / "models"
    weights = weights_on_cpu(unwrap(trainer.network))
    run_id = getattr(trainer.state, "mlflow_run_id", None)
    content = {"state_dict": weights, "metadata": {**settled(metadata, trainer), "mlflow_run_id": run_id}}
    try:
        models.mkdir(parents=True, exist_ok=True)
        write_atomically(models / MODEL_FILE, lambda file: torch.save(content, file))
        with open(encoder, "rb") as source:
            write_atomically(models / ENCODER_FILE, lambda file: shutil.copyfileobj(source, file))
    except OSError as error:
        raise refusal(
            type(error)(
                f"Publishing the trained model in {models}: {error.strerror or error}. The run's own folder, "
                f"{Path(encoder).parent}, has everything; copy from there, or free space and resume the run."
            )
        ) from error
    logger.info("The trained model is %s, the encoder alone is %s.", models / MODEL_FILE, models / ENCODER_FILE)


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
                "with --model_path."
            )
        )
    return str(path)


def model_setting(model: str, *, name: str) -> Any:
    """One value of a model file's metadata, so that evaluation builds the network that was trained.

    Args:
        model: path of a file by :func:`publish_model`.
        name: of the value, for example ``"backbone"``.

    Raises:
        WeightsError: the file is damaged or no such file, or it does not say.
    """
    metadata = _read(model)["metadata"]
    if name not in metadata:
        raise refusal(
            WeightsError(
                f"The model {model} does not say its {name}, which training writes into it: give the value in the "
                "config id that asks for it."
            )
        )
    return metadata[name]


def load_model(network: nn.Module, *, model: str, device: torch.device | str = "cpu") -> nn.Module:
    """The network with the weights of a model file, on a device, in evaluation mode.

    Args:
        network: of the architecture that was trained.
        model: path of a file by :func:`publish_model`.
        device: where to put it.

    Raises:
        WeightsError: the file is damaged or no such file, or of another architecture.
    """
    content = _read(model)
    try:
        network.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        differences = str(error).splitlines()[1:]
        told = "; ".join(line.strip() for line in differences[:3])
        raise refusal(
            WeightsError(
                f"The weights of {model} do not fit the network of this config ({told}; {len(differences)} differences "
                f"in all). The model was trained with {content['metadata']}: use the same settings."
            )
        ) from error
    return network.to(device).eval()


def trained_on(dataset: SliceImages, *, model: str) -> bool:
    """Whether a dataset is of the same data as the model's training, so that its validation section was held out.

    Other data is not wrong, since all of it is new to the model, but seldom meant when it is the embedded sample: a
    warning says so.
    """
    same = dataset.fingerprint == model_setting(model, name="data_fingerprint")
    if not same:
        logger.warning(
            "The model %s was trained on other data than %s. Name the training's folder with --dataset_dir to measure "
            "on what was held out of it.",
            model,
            dataset.source.root,
        )
    return same


def _read(model: str) -> dict[str, Any]:
    """Content of a model file; tensors stay on the disk until they are used."""
    try:
        content = torch.load(model, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise refusal(
            WeightsError(
                f"The model {model} cannot be read: it does not exist or is no model file or is damaged. Name a "
                "file that training wrote to models/model.pt."
            )
        ) from error
    if not isinstance(content, dict) or content.keys() != {"state_dict", "metadata"}:
        raise refusal(
            WeightsError(f"{model} is no model file of a bundle; expected is models/model.pt, which training writes.")
        )
    return content
