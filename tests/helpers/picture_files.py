"""Folders of labelled pictures whose content is known, for what looks at the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage


def texture(seed: int, *, rows: int = 120, columns: int = 150) -> np.ndarray:
    """Blotches on black, (rows, columns) in [0, 1]: a picture that resembles no other."""
    generator = np.random.default_rng(seed)
    blotches = sum(ndimage.gaussian_filter(generator.normal(size=(rows, columns)), s) * s for s in (1.5, 3, 6))
    inside = np.zeros((rows, columns))
    inside[12:-12, 15:-15] = 1
    return np.clip(0.5 + blotches, 0.1, 1) * inside


def save_picture(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((picture * 255).astype(np.uint8)).save(path)


def write_table(folder: Path, rows: list[str], *, header: str = "file,label,patient_id,split") -> Path:
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n")
    return folder / "labels.csv"
