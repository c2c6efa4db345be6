"""The encoders that methods start from, and what tells them apart: the SHA-256 of their file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ext.errors import StudyError, WeightsError
from monai_ext.files import file_sha256, write_atomically
from monai_ext.study.plan import Method

__all__ = ["Encoder", "file_sha256", "find_encoders"]


@dataclass(frozen=True)
class Encoder:
    """Where a method starts.

    Attributes:
        path: the weights; None for scratch.
        sha256: of the file; None for scratch.
    """

    path: Path | None = None
    sha256: str | None = None

    @property
    def is_random(self) -> bool:
        """Whether a seed decides on all of the weights."""
        return self.path is None


def find_encoders(methods: Mapping[str, Method], *, folder: Path, pretrained: Mapping[str, Any]) -> dict[str, Encoder]:
    """The encoders that are there, by method; one that has still to be pre-trained is missing.

    Args:
        methods: by name.
        folder: where encoders of MLflow runs are kept, under their run.
        pretrained: by method, the path of the encoder that its pre-training left.

    Raises:
        StudyError: a file or a run is not there.
    """
    found: dict[str, Encoder] = {}
    for name, method in methods.items():
        if method.source == "scratch":
            found[name] = Encoder()
        elif method.source == "file":
            path = Path(method.value).expanduser()
            if not path.is_file():
                raise StudyError(
                    f"the encoder {method.value} of {name} is not there (--encoders names folders to look in)."
                )
            found[name] = Encoder(path.resolve(), file_sha256(path))
        elif method.source == "run":
            path = _fetched(method.value, folder)
            found[name] = Encoder(path, file_sha256(path))
        elif name in pretrained:
            path = Path(pretrained[name])
            found[name] = Encoder(path, file_sha256(path))
    return found


def _fetched(run: str, folder: Path) -> Path:
    """The encoder of an MLflow run, as a file that stays."""
    import torch

    from monai_ext.networks.weights.files import read_weights

    uri = run if run.startswith("runs:/") else f"runs:/{run}"
    uri = uri if "/" in uri.removeprefix("runs:/").strip("/") else f"{uri.rstrip('/')}/encoder"
    path = folder / f"{hashlib.sha256(uri.encode()).hexdigest()[:16]}.pt"
    if not path.is_file():
        try:
            content = read_weights(uri)
        except WeightsError as error:
            raise StudyError(str(error)) from error
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: torch.save(content, file))
    return path
