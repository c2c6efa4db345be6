"""The network that a training leaves, as an MLflow Model."""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_ext.parallel.processes import unwrap
from monai_ext.torch_files import read_torch_file
from monai_ext.tracking.operations import Model
from monai_ext.tracking.provenance import without_places

__all__ = ["check_registered_name", "write_mlflow_model"]

logger = logging.getLogger(__name__)

_FOLDER = "mlflow_model"
_LONGEST_NAME = 200
_USAGE_SETTINGS = (
    *("bundle", "backbone", "in_channels", "image_size", "window", "spatial_dims", "spacing_mm", "axes"),
    *("class_names", "positive_class", "threshold", "best_epoch"),
)
"""What somebody must know who gives images to the model."""


def check_registered_name(name: Any) -> None:
    """Refuse what MLflow's registry would refuse when the training is over.

    Raises:
        ValueError: no text, empty, with a slash, a colon or a control character, or longer than 200 characters.
    """
    if name is None:
        return
    bad = not isinstance(name, str) or not name.isprintable() or name.strip() != name or name in ("", ".", "..")
    if bad or len(name) > _LONGEST_NAME or set(name) & set("/:"):
        raise ValueError(
            f"register is the name that the trained model gets in MLflow's registry: a text of at most {_LONGEST_NAME} "
            f"characters without '/' and ':', such as 'covid19-resnet50'; received {name!r}."
        )


def write_mlflow_model(
    engine: Any, output_dir: Path, *, settings: Mapping[str, Any], registered_name: str | None = None
) -> list[Model]:
    """Write the trained network in MLflow's format, to be delivered with the run.

    Of a pre-training it is the encoder, ``encoder_model``: images (B, C, S, S) give features (B, F). Of a training on
    classes it is ``classifier``, with the best weights where some were chosen, which gives probabilities (B, K), or
    ``segmentation_network``, which gives (B, K, S, S). Images are in [0, 1], as the bundle's preprocessing makes them.
    The weights lie in PyTorch's exported program (``pt2``), so that loading needs PyTorch and MLflow alone and
    unpickles no code. The example in it is synthetic.

    A network that cannot be exported is told of in the log: it is in the run's folder all the same.

    Args:
        engine: trainer whose ``network`` is trained; its ``state.best_weights`` is a file of weights to take instead.
        output_dir: folder of the run, in which the model waits until MLflow has it.
        settings: of the training; without ``in_channels`` and ``image_size`` nothing is written. ``spatial_dims`` of 3
            makes the example a cube.
        registered_name: in MLflow's registry.
    """
    network = unwrap(getattr(engine, "network", None))
    channels, side = settings.get("in_channels"), settings.get("image_size")
    if getattr(engine, "optimizer", None) is None or not isinstance(channels, int) or not isinstance(side, int):
        return []
    folder = output_dir.resolve() / _FOLDER
    try:
        name, model = _trained(network, engine.state, settings)
        shutil.rmtree(folder, ignore_errors=True)
        size = (channels, *[side] * int(settings.get("spatial_dims", 2)))
        _write(model, folder, size, _description(settings, engine.state))
    except Exception as error:  # the training is complete, and its results are elsewhere
        logger.warning(
            "The trained network is not an MLflow Model of the run%s: %s: %s",
            "" if registered_name is None else f" and was not registered as {registered_name!r}",
            type(error).__name__,
            str(error).partition("\n")[0],
        )
        shutil.rmtree(folder, ignore_errors=True)
        return []
    return [Model(str(folder), name, registered_name)]


def _trained(network: Any, state: Any, settings: Mapping[str, Any]) -> tuple[str, nn.Module]:
    """Name and copy of what is worth keeping, on the CPU, in float32 and evaluation mode."""
    if "class_names" not in settings and hasattr(network, "encoder"):
        return "encoder_model", _plain(nn.Sequential(copy.deepcopy(network.encoder), nn.Flatten(1)))
    trained = copy.deepcopy(network)
    best = getattr(state, "best_weights", None)
    if best is not None:
        trained.load_state_dict(read_torch_file(best))
    if "class_names" not in settings:
        return "network", _plain(trained)
    name = "segmentation_network" if settings.get("task_kind") == "segmentation" else "classifier"
    return name, _plain(nn.Sequential(trained, nn.Softmax(dim=1)))


def _plain(network: nn.Module) -> nn.Module:
    plain: nn.Module = network.cpu().float().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return plain.eval()


def _write(network: nn.Module, folder: Path, size: tuple[int, ...], description: Mapping[str, Any]) -> None:
    import mlflow.pytorch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from monai_ext.networks.exported_program import without_source_places  # importing MONAI may import MLflow

    example = torch.full((2, *size), 0.5)
    with torch.no_grad():
        output: Tensor = network(example)
    images, result = (
        Schema([TensorSpec(tensor.numpy().dtype, (-1, *tensor.shape[1:]))]) for tensor in (example, output)
    )
    mlflow.pytorch.save_model(
        network,
        str(folder),
        signature=ModelSignature(images, result),
        input_example=example.numpy(),
        serialization_format="pt2",
        pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],
        metadata=dict(description),
    )
    (file,) = folder.rglob("*.pt2")
    torch.export.save(without_source_places(torch.export.load(file)), file)


def _description(settings: Mapping[str, Any], state: Any) -> dict[str, Any]:
    chosen = {"threshold": getattr(state, "threshold", None), "best_epoch": getattr(state, "best_metric_epoch", None)}
    values = {**settings, **{name: value for name, value in chosen.items() if value is not None}}
    return dict(without_places({name: values[name] for name in _USAGE_SETTINGS if values.get(name) is not None}))
