"""Unpacks downloaded zip files, trusting neither their names nor their sizes."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from monai_ext.errors import DatasetError

__all__ = ["unpack"]

_MOST_BYTES = 64 * 2**30
_BLOCK = 1 << 20


def unpack(archive: Path, folder: Path, *, suffixes: tuple[str, ...] = ()) -> list[Path]:
    """Unpack a zip file into a new folder; the CRC-32 of every member is checked.

    The folder appears when everything is unpacked, so that an interrupted run starts again. Resource forks of macOS
    and hidden files are left out.

    Args:
        archive: the zip file.
        folder: where its members go; must not exist.
        suffixes: unpack only names that end so, lower case; all when empty.

    Returns:
        The unpacked files, sorted.

    Raises:
        DatasetError: it is no zip file, is damaged, encrypted, holds a name that leads out of the folder, or unpacks to
            more than 64 GiB.
    """
    building = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if _is_wanted(member, suffixes)]
            _refuse_excess(archive, members)
            for member in members:
                _unpack_member(opened, member, building)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        shutil.rmtree(building, ignore_errors=True)
        raise DatasetError(
            f"{archive.name} cannot be unpacked: {error}. Delete it and download it again; if it stays so, what the"
            " server sent is no zip file (perhaps a page that asks to log in)."
        ) from error
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    building.replace(folder)
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _is_wanted(member: zipfile.ZipInfo, suffixes: tuple[str, ...]) -> bool:
    parts = _path(member).parts
    hidden = any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts)
    return not member.is_dir() and not hidden and (not suffixes or member.filename.lower().endswith(suffixes))


def _refuse_excess(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    if total > _MOST_BYTES:
        raise DatasetError(
            f"{archive.name} would unpack to {total / 2**30:.0f} GiB, more than the {_MOST_BYTES / 2**30:.0f} GiB that"
            " are accepted from an archive. Unpack it yourself if you trust it."
        )


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    name = _path(member)
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise DatasetError(f"The archive holds the name {member.filename!r}, which leads out of its folder: refused.")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, target.open("wb") as stream:
        shutil.copyfileobj(source, stream, _BLOCK)


def _path(member: zipfile.ZipInfo) -> PurePosixPath:
    return PurePosixPath(member.filename.replace("\\", "/"))
