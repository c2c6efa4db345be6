"""Read a weights file, or one that an MLflow run holds, without executing what it contains; gather weights for one."""

from __future__ import annotations

import argparse
import os
import pickle
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from monai_ext.errors import DamagedFileError, WeightsError
from monai_ext.torch_files import read_torch_file

__all__ = ["read_weights", "read_weights_and_metadata", "weights_on_cpu"]

_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".safetensors")
_FOLDED = ("conv1.weight", "conv1.bias")
_MLFLOW_SCHEMES = ("runs:/", "models:/", "mlflow-artifacts:/")
_UNSAFE_GLOBAL = re.compile(r"GLOBAL ([\w.]+) (?:was not an allowed global|whose module)")


def read_weights(source: str | os.PathLike[str]) -> dict[str, Any]:
    """Give the content of a weights file, on the CPU.

    Nothing but tensors, plain Python values and ``argparse.Namespace`` (which training scripts like to add) is
    unpickled, so that a file from elsewhere cannot run code. A file that differs from the checksums in it
    is refused: a bit has flipped.

    Args:
        source: a torch or safetensors file, a folder with exactly one such file, or an MLflow uri such as
            ``runs:/<run id>/encoder``, looked up where MLflow is set to look, else where trainings are tracked.

    Raises:
        WeightsError: When there is no such file or run, or the file is truncated, is no weights file, holds
            something else than named entries, or would have to execute code to be read.
    """
    with _local_file(source) as path:
        content = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"The weights file {source} holds a {type(content).__name__}; accepted are named tensors. Save it again "
            "as torch.save(network.state_dict(), path)."
        )
    return dict(content)


def read_weights_and_metadata(source: str | os.PathLike[str]) -> dict[str, Any]:
    """What :func:`read_weights` gives, with an entry ``"metadata"`` where a bundle's model has it in a file beside it.

    Raises:
        WeightsError: as :func:`read_weights`, or the metadata belong to other weights.
    """
    from monai_ext.networks.weights.model_file import is_published, read_model_metadata

    content = read_weights(source)
    path = Path(source).expanduser()
    return {**content, "metadata": read_model_metadata(path)} if is_published(path) else content


@contextmanager
def _local_file(source: str | os.PathLike[str]) -> Iterator[Path]:
    if str(source).startswith(_MLFLOW_SCHEMES):
        with tempfile.TemporaryDirectory() as folder:
            yield _only_file(_download(str(source), folder), source)
    else:
        yield _only_file(Path(source).expanduser(), source)


def _download(uri: str, folder: str) -> Path:
    import mlflow

    from monai_ext.locations import shown, tracking_uri_for

    # Where trainings are tracked, in whatever folder of the repository this one is started; unless code set another.
    server = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else tracking_uri_for()
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=server))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise WeightsError(
            f"The weights {uri} could not be read from MLflow at {shown(server)}: {_first_line(error)} "
            "Check the run id and the artifact's name, and that MLFLOW_TRACKING_URI names the server that has the run."
        ) from error


def _only_file(path: Path, source: str | os.PathLike[str]) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError(f"There is no weights file {source}. Check the path, which is relative to {Path.cwd()}.")
    if all((path / f"{name}.npy").is_file() for name in _FOLDED):
        raise WeightsError(
            f"The folder {source} holds a ResNet as arrays (.npy) whose batch normalisation was folded into its"
            " convolutions (conv1.bias.npy), which cannot be fine-tuned as it is. Make an encoder of it with"
            " scripts/convert_folded_resnet18.py, and name that."
        )
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "none"
        raise WeightsError(
            f"The folder {source} must hold exactly one weights file ({', '.join(_SUFFIXES)}) to be read as weights; "
            f"found: {found}. Name the file itself."
        )
    return files[0]


def _read_torch(path: Path) -> Any:
    try:
        return read_torch_file(path, allowed=[argparse.Namespace])
    except Exception as error:  # bytes from elsewhere fail in many ways; all of them mean the same to the reader
        raise WeightsError(_reason(path, error)) from error


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:  # without a name it comes from reading a bad archive
        return f"The weights file {path} cannot be opened: {error.strerror}."
    unsafe = _UNSAFE_GLOBAL.search(str(error))
    if isinstance(error, pickle.UnpicklingError) and unsafe:
        return (
            f"The weights file {path} holds an object of {unsafe[1]}, and reading it would execute code from the file; "
            "only tensors and plain values are read. If you trust its origin, load it with weights_only=False where "
            "that code is installed, and save its state_dict alone."
        )
    if isinstance(error, DamagedFileError):
        return f"The weights file {error}"
    if "TorchScript" in str(error):
        return (
            f"The weights file {path} is a TorchScript archive, that is a program; only tensors are read. Save the "
            "module's state_dict instead."
        )
    return (
        f"The weights file {path} ({path.stat().st_size} bytes) is truncated or is not a torch file. "
        "Copy or download it again."
    )


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsError(
            f"Reading {path} needs the package safetensors, which is not installed: pip install safetensors."
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"The weights file {path} is truncated or is not a safetensors file: {_first_line(error)} Copy or download "
            "it again."
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0].rstrip(" .:") if lines else type(error).__name__) + "."


def weights_on_cpu(network: nn.Module) -> dict[str, Tensor]:
    """Give the state of a network as it belongs into a file: on the CPU, contiguous, without gradients."""
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
