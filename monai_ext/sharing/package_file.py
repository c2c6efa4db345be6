"""The file that a bundle travels in: a zip whose bytes follow from its content, so that each of them can be checked."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from monai_ext.errors import PackageError
from monai_ext.files import write_atomically
from monai_ext.sharing.bundle_files import BundleFiles, open_bundle_files
from monai_ext.sharing.file_names import name_problems

__all__ = ["MANIFEST", "SIGNATURE", "canonical_json", "first_odd_byte", "open_package", "unpack", "write_package"]

MANIFEST = "manifest.json"
SIGNATURE = "model.sig"
_TIME = (1980, 1, 1, 0, 0, 0)
_PLAIN_FILE = 0o100644 << 16


def write_package(path: Path, files: Mapping[str, bytes], *, root: str) -> None:
    """Write files as a package, in one step.

    Nothing is compressed (weights hardly shrink, and a package can then be no bomb), names are sorted, and times and
    rights are always the same: the same files give the same bytes.

    Args:
        path: of the zip.
        files: content by path in the bundle.
        root: folder that the package unpacks to.

    Raises:
        PackageError: the disk refuses, or a name is one that must not travel.
    """
    problems = name_problems([f"{root}/{name}" for name in files])
    if problems:
        raise PackageError(f"Packing {path}: {problems[0].name} cannot travel: {problems[0].reason}. Rename the file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: _write(file, files, root))
    except OSError as error:
        raise PackageError(
            f"Packing {path}: {error.strerror or error}. Nothing was left behind; choose another folder, or free space."
        ) from error


def _write(file: IO[bytes], files: Mapping[str, bytes], root: str) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{root}/{name}", _TIME)
            entry.external_attr = _PLAIN_FILE
            entry.create_system = 3  # the same on every system
            archive.writestr(entry, files[name])


def open_package(path: str | Path) -> BundleFiles:
    """List a package, after making sure that it can be unpacked safely and was packed by a version that is understood.

    Raises:
        PackageError: there is no such package, or it is damaged, dangerous to unpack, no package, or newer.
    """
    bundle = open_bundle_files(path)
    if bundle.problems:
        reasons = "; ".join(f"{problem.name}: {problem.reason}" for problem in bundle.problems[:5])
        raise PackageError(
            f"{path} must not be unpacked ({len(bundle.problems)} reasons): {reasons}. Ask who sent it to pack it again"
            " with `bundle pack`."
        )
    if MANIFEST not in bundle.files:
        raise PackageError(
            f"{path} is no package: it has no {MANIFEST}. Expected is what `bundle pack` writes; to look through any"
            " other bundle use `bundle audit`."
        )
    return bundle


def first_odd_byte(bundle: BundleFiles) -> int | None:
    """Position of the first byte that ``write_package`` would have written otherwise; None when there is none."""
    path = bundle.path
    with io.BytesIO() as expected:
        _write(expected, {file.name: file.read() for file in bundle}, bundle.root)
        expected.seek(0)
        with open(path, "rb") as actual:
            position = 0
            while True:
                here, there = actual.read(2**20), expected.read(2**20)
                if here != there:
                    different = (at for at, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1])
                    return position + next(different, min(len(here), len(there)))
                if not here:
                    return None
                position += len(here)


def unpack(bundle: BundleFiles, folder: Path, digests: Mapping[str, str]) -> Path:
    """Unpack a package into a folder that must not exist yet; returns it.

    Args:
        bundle: as listed before.
        folder: to be made; when anything fails, nothing of it is left.
        digests: SHA-256 of each file, of which each is made sure as it is written.

    Raises:
        PackageError: the folder exists, cannot be written, or a file is not the one whose digest was checked.
    """
    if folder.exists():
        raise PackageError(f"Unpacking {bundle.path}: {folder} is there already. Name a folder that does not exist.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder.parent))
        try:
            for file in bundle:
                _unpack_file(partial / file.name, file.read(), digests.get(file.name))
            partial.chmod(0o755)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise PackageError(
            f"Unpacking {bundle.path} to {folder}: {error.strerror or error}. Nothing was left."
        ) from error
    return folder


def _unpack_file(path: Path, content: bytes, digest: str | None) -> None:
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise PackageError(f"Unpacking {path.name}: the package was changed after it was verified. Verify it again.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)


def canonical_json(content: object) -> bytes:
    """The one way in which the package's own JSON files are written."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
