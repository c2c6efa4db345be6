"""Gather slices of pictures and of CT volumes as 8-bit pictures in one folder, to pre-train on both.

Pictures have gray levels, volumes Hounsfield units: one training takes one kind. Volumes are shown through a window, as
the pictures were when they were made; near copies within a volume are thinned by taking every ``--every``-th slice.

    python scripts/make_picture_pool.py POOL --pictures CT_POOL --volumes VOLUMES/lung_masks --window lung

Unlabelled pictures of a task's own data must not be those that it is tested on:

    python scripts/make_picture_pool.py POOL --pictures DATA --without-test-of study_results/NAME/splits/TASK-0.json
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monai_ext.data.sources.folder_scan import NIFTI_SUFFIXES, PICTURE_SUFFIXES
from monai_ext.data.sources.nifti import NiftiSource
from monai_ext.files import read_json
from monai_ext.transforms import HounsfieldWindow, find_window


def main() -> None:
    """Parse, copy, convert, and print how many slices there are of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path, help="folder to write to; added to when it exists")
    parser.add_argument("--pictures", type=Path, nargs="*", default=[], help="folders of pictures, copied as they are")
    parser.add_argument("--volumes", type=Path, nargs="*", default=[], help="folders of NIfTI files named *_ct.nii.gz")
    parser.add_argument("--window", default="lung", help="window of the volumes (default: lung)")
    parser.add_argument("--every", type=int, default=1, help="take every n-th slice of a volume (default: 1)")
    parser.add_argument("--without-test-of", type=Path, metavar="SPLITS", help="leave out what is tested in any fold")
    options = parser.parse_args()
    tested = tested_in(options.without_test_of) if options.without_test_of else set()
    if lost := tested - {name for folder in options.pictures for name in pictures_of(folder)}:
        parser.error(
            f"{len(lost)} of the {len(tested)} test items of {options.without_test_of} are not below the folders of"
            f" pictures, such as {min(lost)}: nothing was copied. Name the folder that the splits were made of."
        )
    copied = sum(copy_pictures(folder, options.pool / folder.name, tested) for folder in options.pictures)
    made = sum(
        show_volumes(folder, options.pool / folder.name, options.window, options.every) for folder in options.volumes
    )
    print(f"{copied} pictures copied, {made} slices of volumes shown through the window {options.window}")


def tested_in(splits: Path) -> set[str]:
    """The items of a splits file that are in the test section of any fold."""
    return {item for fold in read_json(splits)["folds"] for item in fold["test"]}


def copy_pictures(folder: Path, destination: Path, tested: set[str]) -> int:
    """Copy the pictures of a folder, but for those that are tested, under names that say where they lay."""
    names = [name for name in pictures_of(folder) if name not in tested]
    destination.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(folder / name, destination / name.replace("/", "_"))
    return len(names)


def pictures_of(folder: Path) -> list[str]:
    """The pictures below a folder, by their paths in it."""
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in PICTURE_SUFFIXES]
    return [file.relative_to(folder).as_posix() for file in files]


def show_volumes(folder: Path, destination: Path, window: str, every: int) -> int:
    """Write slices of CT volumes as PNG; returns how many."""
    files = [file for file in sorted(folder.rglob("*_ct*")) if file.name.endswith(tuple(NIFTI_SUFFIXES))]
    destination.mkdir(parents=True, exist_ok=True)
    apply, count = HounsfieldWindow(find_window(window)), 0
    for file in (file for file in files if "seg" not in file.name):
        source = NiftiSource(folder, [file])
        for index in range(0, len(source), every):
            shown = apply(torch.from_numpy(source.read(index))[None])[0].numpy()
            Image.fromarray(np.rint(shown * 255).astype(np.uint8)).save(
                destination / f"{file.name.split('.')[0]}_{index:04d}.png"
            )
            count += 1
    return count


if __name__ == "__main__":
    main()
