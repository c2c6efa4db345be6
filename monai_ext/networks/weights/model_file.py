"""The file of a trained model: plain weights, and beside them a JSON file that says what they are of."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from monai_ext.errors import DamagedFileError, WeightsError
from monai_ext.files import file_sha256, read_json, write_atomically
from monai_ext.networks.weights.files import weights_on_cpu
from monai_ext.torch_files import read_torch_file, write_torch_file

__all__ = [
    "MODEL_FILE",
    "REFERENCE_FILE",
    "SAFETENSORS_FILE",
    "is_published",
    "metadata_file",
    "read_model",
    "read_model_metadata",
    "split_model_file",
    "write_model",
]

MODEL_FILE = "model.pt"
"""Name of the file in a run's folder and in a bundle's ``models``."""
SAFETENSORS_FILE, REFERENCE_FILE = "model.safetensors", "reference.json"
"""What a package has beside it: the weights in another format, statistics of the training's images."""

_HASH, _OWN_HASH = "weights_sha256", "metadata_sha256"


def metadata_file(model: str | Path) -> Path:
    """Where the metadata of a model file lies: beside it, with the ending ``.json``.

    >>> metadata_file("models/model.pt").as_posix()
    'models/model.json'
    """
    return Path(model).with_suffix(".json")


def write_model(path: str | Path, weights: nn.Module | Mapping[str, Tensor], *, metadata: Mapping[str, Any]) -> None:
    """Write a state dict as it is, which is how MONAI's tools load it, and its metadata beside it.

    The metadata holds the SHA-256 of the weights and of itself and is written last, so that a pair that does not belong
    together, or has changed, is noticed. Each file is replaced in one step.

    Args:
        path: of the weights; its folder is made.
        weights: a network, or its state dict.
        metadata: plain JSON values.

    Raises:
        OSError: the disk refuses.
    """
    path = Path(path)
    content = weights_on_cpu(weights) if isinstance(weights, nn.Module) else dict(weights)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_torch_file(path, content)
    hashes = {_HASH: file_sha256(path), _OWN_HASH: _sha256_of(metadata)}
    text = json.dumps({**metadata, **hashes}, indent=2) + "\n"
    write_atomically(metadata_file(path), lambda file: file.write(text.encode()))


def read_model(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a model file; tensors stay on the disk until they are used.

    Raises:
        WeightsError: there is no such file, it is damaged, or it is no plain state dict, such as a file of a version
            that kept weights and metadata together.
    """
    content = _load(path)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(_foreign(path, content))
    return content


def read_model_metadata(path: str | Path) -> dict[str, Any]:
    """What the JSON file beside a model says.

    Raises:
        WeightsError: it does not exist, is damaged, or belongs to other weights than those beside it.
    """
    file = metadata_file(path)
    try:
        metadata = read_json(file)
    except (OSError, ValueError) as error:
        raise WeightsError(_without_metadata(path, error)) from error
    if not isinstance(metadata, dict):
        raise WeightsError(f"{file} holds no metadata of a model: expected is a JSON object, as training writes it.")
    if metadata.get(_OWN_HASH) not in (None, _sha256_of(metadata)):
        raise WeightsError(
            f"{file} is damaged, or was changed since training wrote it: its values do not have the SHA-256 that it "
            f"names. Copy it again from the run's folder. Whoever changed a value on purpose removes {_OWN_HASH}."
        )
    if Path(path).is_file() and metadata.get(_HASH, None) not in (None, file_sha256(path)):
        raise WeightsError(
            f"{file} was written for other weights than {path}: the two files belong together and one of them was "
            "replaced. Copy both from the run's folder, or run the training's command again with --resume last, which "
            f"writes both. Whoever changed the weights on purpose removes {_HASH} from the JSON file."
        )
    return metadata


def is_published(path: str | Path) -> bool:
    """Whether a file of metadata that :func:`write_model` wrote lies beside a file."""
    try:
        metadata = read_json(metadata_file(path))
    except (OSError, ValueError):
        return False
    return isinstance(metadata, dict) and _HASH in metadata


def split_model_file(path: str | Path) -> None:
    """Bring a file that holds weights and metadata together, as early versions wrote it, into today's two files.

    Raises:
        WeightsError: it cannot be read, or is no such file.
    """
    content = _load(path)
    if not _is_joint(content):
        raise WeightsError(f"{path} cannot be split: it does not hold the two entries state_dict and metadata.")
    weights = {name: value.clone() for name, value in content["state_dict"].items()}  # off the file that is replaced
    write_model(path, weights, metadata=content["metadata"])


def _load(path: str | Path) -> Any:
    try:
        return read_torch_file(path, mmap=True)
    except DamagedFileError as error:
        raise WeightsError(
            f"The model cannot be read: {error} A training's own folder has another copy of models/model.pt."
        ) from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"The model {path} cannot be read: it does not exist or is no model file. Name a file that training wrote "
            "to models/model.pt."
        ) from error


def _is_joint(content: Any) -> bool:
    return isinstance(content, dict) and content.keys() == {"state_dict", "metadata"}


def _foreign(path: str | Path, content: Any) -> str:
    if not _is_joint(content) or "monai_ext_version" in content["metadata"]:
        found = "it is the export of an encoder" if _is_joint(content) else "it does not hold plain weights"
        return f"{path} is no model file of a bundle: {found}. Expected is models/model.pt, which training writes."
    return (
        f"{path} holds weights and metadata in one file, as early versions wrote it; today the weights are alone, so "
        "that MONAI's tools load them, and the metadata lie beside them. Bring it into the two files with: python -c "
        f"\"from monai_ext.networks.weights import split_model_file; split_model_file('{path}')\""
    )


def _without_metadata(path: str | Path, error: Exception) -> str:
    if not isinstance(error, FileNotFoundError):
        return f"{metadata_file(path)}, which says what the weights of {path} are of, cannot be read: {error}."
    if Path(path).is_file() and _is_joint(content := _load(path)):
        return _foreign(path, content)
    return (
        f"There is no {metadata_file(path)}, which says what the weights of {path} are of. Training writes both files: "
        "copy them together."
    )


def _sha256_of(metadata: Mapping[str, Any]) -> str:
    """Of the values themselves, however they are laid out in the file."""
    values = {name: value for name, value in metadata.items() if name not in (_HASH, _OWN_HASH)}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
