"""One cell: what is computed, in plain values that any process can take."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

__all__ = ["Cell", "canonical", "name_of"]


@dataclass(frozen=True)
class Cell:
    """A cell of a study.

    Attributes:
        protocol: ``"pretraining"``, ``"fine_tuning"``, ``"probe"``, ``"knn"`` or ``"gray_levels"``.
        method: name of the start.
        task: name of the task; empty for a pre-training.
        size: section that is trained on.
        fold, subset, seed: which one.
        inputs: all that the result depends on, without paths; its hash is the cell's name.
        paths: where this machine has what the inputs tell by hash.
    """

    protocol: str
    method: str
    task: str
    size: str
    fold: int
    subset: int
    seed: int
    inputs: Mapping[str, Any]
    paths: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """Hash of the inputs."""
        return name_of(self.inputs)

    @property
    def label(self) -> str:
        """For people."""
        parts = [self.protocol, self.method, self.task, self.size, f"fold {self.fold}", f"subset {self.subset}"]
        return "pretraining of " + self.method if not self.task else ", ".join([*parts, f"seed {self.seed}"])

    def to_json(self) -> dict[str, Any]:
        """Plain values, of which ``Cell(**...)`` is the cell again."""
        return asdict(self)


def canonical(content: Any) -> bytes:
    """The same bytes for the same content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def name_of(inputs: Mapping[str, Any]) -> str:
    """32 hexadecimal digits of the SHA-256 of the inputs."""
    return hashlib.sha256(canonical(inputs)).hexdigest()[:32]
