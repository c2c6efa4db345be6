"""Memory and time of bringing one large volume to a spacing, and of reading patches of what was prepared.

The volume is noise, 512 x 512 pixels of 0.75 mm in slices 0.6 mm apart, written to a temporary folder as NIfTI without
compression; a compressed file has to be unpacked as a whole.

    python benchmarks/volume_preparation.py --slices 2000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from resident_memory import MIB

from monai_ext.data import open_volumes

_SIDE = 512


def write_volume(file: Path, slices: int) -> None:
    """A NIfTI file of any length, of which one slice is in memory."""
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((_SIDE, _SIDE, slices))
    header.set_sform(np.diag([-0.75, -0.75, 0.6, 1.0]))
    header["magic"], header["vox_offset"] = b"n+1", 352
    noise = np.random.default_rng(0).integers(-1000, 1000, (_SIDE, _SIDE)).astype("<i2")
    with file.open("wb") as stream:
        stream.write(header.binaryblock + bytes(4))
        for number in range(slices):
            stream.write(np.roll(noise, number, axis=0).tobytes())


def peak() -> float:
    """Largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=2000)
    parser.add_argument("--spacing-mm", type=float, default=1.5)
    parser.add_argument("--patches", type=int, default=40, help="how many are read")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "ct").mkdir()
        write_volume(place / "ct" / "noise.nii", args.slices)
        before, start = peak(), time.process_time()
        patches = open_volumes(place / "ct", spacing_mm=args.spacing_mm, prepared_dir=place / "prepared")
        taken, prepared = time.process_time() - start, list((place / "prepared").rglob("*.bricks"))
        size = (place / "ct" / "noise.nii").stat().st_size / MIB
        shape = " x ".join(map(str, patches.describe()["largest_volume"]))
        print(f"{size:.0f} MiB become {shape} voxels in {sum(f.stat().st_size for f in prepared) / MIB:.0f} MiB.")
        print(f"Preparing: {taken:.1f} s of one processor, {peak() - before:.0f} MiB above the {before:.0f} of before.")
        start = time.process_time()
        for number in range(args.patches):
            patches[number * len(patches) // args.patches]
        taken = time.process_time() - start
        print(
            f"Reading: {1000 * taken / args.patches:.1f} ms of one processor a patch of {patches.size} voxels a side."
        )


if __name__ == "__main__":
    main()
