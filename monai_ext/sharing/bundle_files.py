"""The files of a bundle, in a folder or in a zip that is not unpacked: listed and read, never followed or executed."""

from __future__ import annotations

import itertools
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from monai_ext.errors import PackageError
from monai_ext.files import open_regular, read_regular
from monai_ext.sharing.file_names import NameProblem, name_problems

__all__ = ["BundleFile", "BundleFiles", "open_bundle_files"]

MOST_FILES = 10_000
LARGEST_TOTAL = 16 * 2**30
LARGEST_RATIO = 200
RATIO_COUNTS_FROM = 2**20
LARGEST_FILE = 4 * 2**30
"""Of what is read: weights of a billion parameters in single precision."""
_LOCAL_HEADER = 30
_END_RECORD = 22


@dataclass(frozen=True)
class BundleFile:
    """One file: its path in the bundle, its size in bytes, and how to read it."""

    name: str
    size: int
    read: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True)
class BundleFiles:
    """What a bundle consists of, by path relative to its root, and what is wrong with it as a set of files."""

    path: Path
    files: dict[str, BundleFile]
    problems: list[NameProblem]
    root: str
    """Folder inside a zip that holds the bundle; empty when the zip's own top is the bundle."""

    def __iter__(self) -> Iterator[BundleFile]:
        return iter(self.files.values())


def open_bundle_files(path: str | Path) -> BundleFiles:
    """List a bundle without unpacking it.

    Args:
        path: its folder, or a zip with the bundle at its top or in one folder.

    Raises:
        PackageError: there is no such file, it is neither, or it is truncated or damaged.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            return _of_zip(path, archive)
    except FileNotFoundError:
        raise PackageError(f"Opening {path}: there is no such file or folder. Name a bundle's folder or zip.") from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, UnicodeError) as error:
        raise PackageError(
            f"Opening {path}: it is neither a folder nor a complete zip file ({error}). Copy it again from where it was"
            " packed, and compare the sizes."
        ) from error


def _of_folder(folder: Path) -> BundleFiles:
    files, problems = {}, []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            problems.append(NameProblem(name, "link", "a link points to something that is not in the bundle"))
        elif path.is_file():
            files[name] = BundleFile(name, path.stat().st_size, _folder_reader(path, name))
        elif not path.is_dir():
            problems.append(NameProblem(name, "special-file", "it is a device, a pipe or a socket, not a file"))
    return BundleFiles(folder, files, problems + name_problems(files), "")


def _folder_reader(path: Path, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            return read_regular(path, most=LARGEST_FILE)
        except OSError as error:
            raise PackageError(f"Reading {name} of a bundle: {error.strerror or error}.") from error

    return read


def _of_zip(path: Path, archive: zipfile.ZipFile) -> BundleFiles:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    names = [entry.orig_filename for entry in entries]
    root = _common_folder(names)
    files = {}
    for entry, name in zip(entries, names, strict=True):
        inner = name[len(root) + 1 :] if root else name
        files[inner] = BundleFile(inner, entry.file_size, _reader(path, entry))
    inner_names = [name[len(root) + 1 :] if root else name for name in names]
    problems = _archive_problems(path, archive, entries) + name_problems(inner_names)
    if root:
        problems += [problem for problem in name_problems([root]) if problem.rule != "odd-path"]
    return BundleFiles(path, files, problems, root)


def _common_folder(names: list[str]) -> str:
    """The one folder that all entries lie in, unless it is one of the bundle's own."""
    tops = {name.split("/", 1)[0] if "/" in name else "" for name in names}
    top = tops.pop() if len(tops) == 1 else ""
    return "" if top in ("", "..", ".", "configs", "models", "docs") else top


def _archive_problems(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> list[NameProblem]:
    found = []
    if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > LARGEST_TOTAL:
        found.append(NameProblem(path.name, "zip-bomb", f"more than {MOST_FILES} files, or {LARGEST_TOTAL >> 30} GiB"))
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind == stat.S_IFLNK:
            found.append(NameProblem(entry.filename, "link", "a link points to something that is not in the bundle"))
        elif kind not in (0, stat.S_IFREG):
            found.append(NameProblem(entry.filename, "special-file", "it is a device, a pipe or a socket, not a file"))
        if entry.flag_bits & 1:
            found.append(NameProblem(entry.filename, "encrypted", "what is encrypted cannot be looked at"))
        if entry.file_size > RATIO_COUNTS_FROM and entry.file_size > LARGEST_RATIO * max(entry.compress_size, 1):
            found.append(NameProblem(entry.filename, "zip-bomb", f"it unpacks to over {LARGEST_RATIO} times its size"))
    return found + _layout_problems(path, archive, entries)


def _layout_problems(path: Path, archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo]) -> list[NameProblem]:
    """Entries that share bytes (a bomb), and bytes before the first or after the last that no entry accounts for."""
    found = []
    ordered = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    if ordered and ordered[0].header_offset != 0:
        found.append(NameProblem(path.name, "hidden-bytes", "something else stands before the first file of the zip"))
    if not _ends_with_directory(path):
        found.append(NameProblem(path.name, "hidden-bytes", "something stands behind the last file of the zip"))
    for entry, following in itertools.pairwise(ordered):
        end = entry.header_offset + _LOCAL_HEADER + len(entry.orig_filename.encode()) + entry.compress_size
        if end > following.header_offset:
            found.append(NameProblem(following.filename, "zip-bomb", f"it shares bytes with {entry.filename}"))
    return found


def _ends_with_directory(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-_END_RECORD, 2)
        return file.read(4) == b"PK\x05\x06"


def _reader(path: Path, entry: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        if entry.file_size > LARGEST_FILE:
            raise PackageError(
                f"Reading {entry.filename} of {path}: it has {entry.file_size} bytes; at most {LARGEST_FILE} are read."
            )
        try:
            with zipfile.ZipFile(path) as archive, archive.open(entry) as file:
                content = file.read(entry.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise PackageError(
                f"Reading {entry.filename} of {path}: it is damaged ({error}). Copy the file again."
            ) from error
        if len(content) != entry.file_size:
            raise PackageError(
                f"Reading {entry.filename} of {path}: {entry.file_size} bytes were announced, and it has another size."
                " The file is damaged, or made to mislead: do not unpack it."
            )
        return content

    return read
