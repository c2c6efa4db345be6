"""Collections of The Cancer Imaging Archive over NBIA's REST interface, version 4 (open access, no account needed).

Series are listed by ``getSeries`` and fetched by ``getImage``, which packs one series into a zip file on the fly: it
has no length and no checksum, and cannot be resumed. So a series is the unit here: it is there as a whole or not at
all, checked by the zip file's CRC-32 of every member and by the number of images that the list promises.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ext.data.public.archives import unpack
from monai_ext.data.public.downloading import check_status, download, open_session, with_retries
from monai_ext.errors import DatasetError

__all__ = ["NBIA_URL", "RemoteSeries", "fetch_series", "list_series"]

NBIA_URL = "https://nbia.cancerimagingarchive.net/nbia-api/services/v4"

_TIMEOUT_S = (20, 300)
_SAFE_NAME = re.compile(r"[0-9A-Za-z._-]{1,128}")
_DOCUMENTS = ("license", "license.txt", "md5hashes.csv", "metadata.csv")


@dataclass(frozen=True)
class RemoteSeries:
    """A series as the archive lists it; ``images`` is 0 and ``size`` None where the list does not say."""

    series_uid: str
    patient_id: str
    modality: str
    images: int = 0
    size: int | None = None

    @property
    def folder(self) -> Path:
        """Where it goes, relative to the data set's folder."""
        return Path(self.patient_id) / self.series_uid


def list_series(
    collection: str,
    *,
    modality: str | None = "CT",
    body_part: str | None = None,
    patients: Sequence[str] = (),
    base_url: str = NBIA_URL,
    pause_s: float = 1.0,
) -> list[RemoteSeries]:
    """Ask for the series of a collection, ordered by patient and UID.

    Args:
        collection: name in the archive, such as ``"LIDC-IDRI"``.
        modality: ``"CT"``, ``"DX"``, ...; all when None.
        body_part: Body Part Examined; all when None.
        patients: ids of patients; all when empty.
        base_url: where the interface is.
        pause_s: seconds before another attempt.

    Raises:
        DatasetError: the archive does not answer, answers something else, or has no such series.
    """
    query = {"Collection": collection, "Modality": modality, "BodyPartExamined": body_part, "format": "json"}
    listed = _ask(f"{base_url}/getSeries", {name: value for name, value in query.items() if value}, pause_s)
    series = [_parse(entry) for entry in listed]
    unknown = set(patients) - {series_entry.patient_id for series_entry in series}
    chosen = sorted(
        (series_entry for series_entry in series if not patients or series_entry.patient_id in patients),
        key=lambda series_entry: (series_entry.patient_id, series_entry.series_uid),
    )
    if unknown or not chosen:
        missing = f"patients {', '.join(sorted(unknown)[:5])}" if unknown else "series"
        raise DatasetError(
            f"The collection {collection} has no {missing} with modality {modality or 'any'} and body part"
            f" {body_part or 'any'}; it lists {len(series)} series."
        )
    return chosen


def fetch_series(
    series: Sequence[RemoteSeries],
    folder: Path,
    *,
    base_url: str = NBIA_URL,
    connections: int = 3,
    received: Callable[[int], None] = lambda count: None,
    pause_s: float = 1.0,
) -> Iterator[tuple[RemoteSeries, bool]]:
    """Fetch series that are not there yet into ``folder/PATIENT/SERIES_UID/``, several at a time.

    Args:
        series: what to fetch.
        folder: the data set's folder.
        base_url: where the interface is.
        connections: how many at a time; the archive asks to be modest.
        received: told about the bytes as they arrive, from several threads.
        pause_s: seconds before another attempt.

    Yields:
        Every series once it is there, and whether it had to be fetched.

    Raises:
        DatasetError: a series cannot be fetched, or lacks images; what was fetched before stays.
    """
    with ThreadPoolExecutor(connections) as pool:
        tasks = {
            pool.submit(_fetch_one, series_entry, folder, base_url, received, pause_s): series_entry
            for series_entry in series
        }
        try:
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch_one(
    series_entry: RemoteSeries, folder: Path, base_url: str, received: Callable[[int], None], pause_s: float
) -> bool:
    target = folder / series_entry.folder
    if target.is_dir():
        return False
    archive = target.with_name(f"{series_entry.series_uid}.zip")
    arrived = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal arrived
        received(max(0, done - arrived))
        arrived = max(arrived, done)

    url = f"{base_url}/getImage?SeriesInstanceUID={series_entry.series_uid}&NewFileNames=Yes"
    download(url, archive, progress=progress, pause_s=pause_s)
    unpacked = target.with_name(f"{series_entry.series_uid}.new")
    shutil.rmtree(unpacked, ignore_errors=True)
    try:
        files = unpack(archive, unpacked)
        images = sum(file.name.lower() not in _DOCUMENTS for file in files)
        if images < max(1, series_entry.images):
            raise DatasetError(
                f"The series {series_entry.series_uid} came with {images} images, while the archive lists "
                f"{series_entry.images}: start again; what has been fetched so far is kept."
            )
        unpacked.replace(target)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
        archive.unlink(missing_ok=True)
    return True


def _ask(url: str, query: dict[str, str], pause_s: float) -> list[dict[str, Any]]:
    answer: list[str] = []
    with open_session() as session:

        def ask() -> bool:
            response = session.get(url, params=query, timeout=_TIMEOUT_S)
            check_status(response, url)
            answer.append(response.text)
            return True

        with_retries(ask, url=url, pause_s=pause_s)
    try:
        listed = json.loads(answer[0] or "[]")
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise DatasetError(f"{url} did not answer with a list of series but with {answer[0][:80]!r}.")
    return listed


def _parse(entry: dict[str, Any]) -> RemoteSeries:
    """One entry of the list; its ids become names of folders, so that they must be plain."""
    series_uid, patient_id = str(entry.get("SeriesInstanceUID", "")), str(entry.get("PatientID", ""))
    for name in (series_uid, patient_id):
        if not _SAFE_NAME.fullmatch(name) or set(name) <= {"."}:
            raise DatasetError(f"The archive lists a series with the id {name!r}, which is no name for a folder.")
    size = entry.get("FileSize")
    return RemoteSeries(
        series_uid=series_uid,
        patient_id=patient_id,
        modality=str(entry.get("Modality", "")),
        images=int(entry.get("ImageCount") or 0),
        size=int(size) if isinstance(size, int | float) else None,
    )
