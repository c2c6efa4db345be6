"""Volumes of a source, each brought to one spacing once and kept in the user's cache folder."""

from __future__ import annotations

import logging
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tqdm import tqdm

from monai_ext.data.sources.slice_stack import SliceStack
from monai_ext.data.sources.source import SliceSource
from monai_ext.data.volumes.brick_file import BrickFile, write_bricks
from monai_ext.data.volumes.resampling import resampled_shape, resampled_slices
from monai_ext.errors import DatasetError, ReportedError
from monai_ext.folder_lock import FolderLock
from monai_ext.locations import CACHE_VARIABLE, cache_folder

__all__ = ["PreparedVolume", "Spacing", "prepare_volumes"]

logger = logging.getLogger(__name__)

_VERSION = "v1"
"""Raised whenever the same volume gives other voxels."""
_LONGEST_WAIT_S = 24 * 3600.0

Spacing = tuple[float, float, float]
PreparedVolume = tuple[SliceStack, BrickFile]
"""What a volume was, and its voxels at the wanted spacing."""


def prepare_volumes(
    source: SliceSource,
    *,
    spacing_mm: Spacing,
    least_side: int,
    folder: str | Path | None = None,
    num_workers: int = 0,
) -> list[PreparedVolume]:
    """Bring all volumes of a source to one spacing, those that are not there yet.

    A volume is read slice by slice and written slab by slab, so that its size does not matter (a compressed file has to
    be unpacked as a whole). It is known again by its content, wherever it lies, so that what is added later is all that
    is prepared. An interrupted preparation goes on where it was; several processes take turns. Volumes with
    a fault, damaged ones, and those that are shorter than a patch along an axis, are left out with a warning.

    Args:
        source: whose slices say where they lie.
        spacing_mm: distance of slices, rows and columns afterwards.
        least_side: voxels that a volume has at least along each axis.
        folder: where prepared volumes are kept; ``volumes`` in :func:`~monai_ext.locations.cache_folder` when omitted.
        num_workers: processes that prepare; 0 prepares in this one.

    Raises:
        DatasetError: no volume can be used, or the folder cannot be written.
    """
    stacks = source.stacks()
    left_out = Counter[str]()
    usable: list[SliceStack] = []
    for stack in stacks:
        reason = stack.fault or _too_small(stack, spacing_mm, least_side)
        if reason is None:
            usable.append(stack)
        else:
            _leave_out(stack, reason, left_out)
    place = Path(folder or cache_folder() / "volumes").expanduser()
    place /= f"{'x'.join(f'{side:g}' for side in spacing_mm)}mm_{_VERSION}"
    prepared = _open_or_make(source, usable, place, spacing_mm, num_workers, left_out)
    if not prepared:
        listed = "; ".join(f"{count} because {reason}" for reason, count in left_out.most_common())
        raise DatasetError(
            "None of the {count} volumes of {root} can be used: {listed}. Give others, or take a smaller image_size or"
            " a finer spacing_mm where they are too small.",
            count=len(stacks),
            root=source.root,
            listed=listed or "there is none",
        )
    return prepared


def _open_or_make(
    source: SliceSource,
    usable: Sequence[SliceStack],
    place: Path,
    spacing_mm: Spacing,
    num_workers: int,
    left_out: Counter[str],
) -> list[PreparedVolume]:
    found = [_open(place, stack) for stack in usable]
    missing = [stack for stack, bricks in zip(usable, found, strict=True) if bricks is None]
    if missing:
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FolderLock(place)
            lock.wait(_LONGEST_WAIT_S)  # another process may be at it
            try:
                missing = [stack for stack in missing if _open(place, stack) is None]
                _make(source, missing, place, spacing_mm, num_workers, left_out)
            finally:
                lock.release()
        except OSError as error:
            raise DatasetError(
                "The volumes cannot be prepared in {place}: {reason}. Free space, or choose another folder with the"
                f" environment variable {CACHE_VARIABLE} or prepared_dir.",
                place=place,
                reason=error.strerror or error,
            ) from error
        found = [_open(place, stack) for stack in usable]
    return [(stack, bricks) for stack, bricks in zip(usable, found, strict=True) if bricks is not None]


def _make(
    source: SliceSource,
    missing: Sequence[SliceStack],
    place: Path,
    spacing_mm: Spacing,
    num_workers: int,
    left_out: Counter[str],
) -> None:
    if not missing:
        return
    spacing = " x ".join(f"{side:g}" for side in spacing_mm)
    logger.info("%d volumes are brought to %s mm, once; they are kept in %s.", len(missing), spacing, place)
    prepare = partial(_prepare, source, place=place, spacing_mm=spacing_mm)
    outcomes = tqdm(_outcomes(prepare, missing, num_workers), total=len(missing), desc="Preparing", disable=None)
    for stack, error in zip(missing, outcomes, strict=True):
        if error is not None:
            _leave_out(stack, "it is damaged", left_out, because=error)


def _outcomes(
    prepare: Callable[[SliceStack], ReportedError | None],
    missing: Iterable[SliceStack],
    num_workers: int,
) -> Iterator[ReportedError | None]:
    if num_workers < 1:
        yield from map(prepare, missing)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        yield from pool.map(prepare, missing)


def _prepare(source: SliceSource, stack: SliceStack, *, place: Path, spacing_mm: Spacing) -> ReportedError | None:
    """Write one volume; what is wrong with it when it cannot be read."""
    slices = resampled_slices(
        lambda number: source.read(stack.indices[number]),
        shape=stack.shape,
        spacing_mm=stack.spacing_mm,
        wanted_mm=spacing_mm,
    )
    shape = resampled_shape(stack.shape, stack.spacing_mm, wanted_mm=spacing_mm)
    try:
        write_bricks(_file(place, stack), slices, shape=shape)
    except ReportedError as error:
        return error
    return None


def _file(place: Path, stack: SliceStack) -> Path:
    return place / f"{stack.fingerprint[:32]}.bricks"


def _open(place: Path, stack: SliceStack) -> BrickFile | None:
    """The prepared volume; None where it is not there or damaged, and is to be made."""
    try:
        return BrickFile(_file(place, stack))
    except (OSError, DatasetError):
        return None


def _too_small(stack: SliceStack, spacing_mm: Spacing, least_side: int) -> str | None:
    shape = resampled_shape(stack.shape, stack.spacing_mm, wanted_mm=spacing_mm)
    if min(shape) >= least_side:
        return None
    return f"at the wanted spacing it has fewer than {least_side} voxels along an axis, which a patch has"


def _leave_out(stack: SliceStack, reason: str, left_out: Counter[str], *, because: ReportedError | None = None) -> None:
    left_out[reason] += 1
    logger.warning("The volume %s is left out: %s%s", stack.name, reason, "." if because is None else f" ({because})")
