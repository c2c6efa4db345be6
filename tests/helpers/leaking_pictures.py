"""Labelled pictures whose brightness or size tells the label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.picture_files import save_picture, write_table


def make_data(folder: Path, *, leak: str, published: bool = True, duplicates: bool = False) -> Path:
    """Sixty noisy pictures of thirty patients; class b is brighter, or larger, as ``leak`` says."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(60):
        label = number // 2 % 2
        height = 24 + generator.integers(6) + (12 * label if leak == "size" else 0)
        bright = 0.4 + 0.1 * generator.random() + (0.3 * label if leak == "brightness" else 0)
        save_picture(folder / f"{number}.png", np.clip(generator.normal(bright, 0.05, (height, 32)), 0, 1))
        section = ("train", "train", "val", "test")[number // 4 % 4]
        rows.append(f"{number}.png,{'ab'[label]},p{number // 2}" + (f",{section}" if published else ""))
    if duplicates:
        (folder / "near_duplicates.csv").write_text("a,b\n0.png,12.png\n")
    return write_table(folder, rows, header="file,label,patient_id" + (",split" if published else ""))
