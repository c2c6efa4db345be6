"""Gets a public data set: shows its licence, downloads, checks, and makes it ready."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from monai_ext.data.public.catalog import PublicDataset, RemoteFile
from monai_ext.data.public.downloading import Progress, download
from monai_ext.data.public.labelled import prepare_covid_ct, prepare_head_ct, prepare_medmnist
from monai_ext.data.public.nbia import NBIA_URL, fetch_series, list_series
from monai_ext.errors import DatasetError
from monai_ext.files import read_json, write_durably

__all__ = ["get_collection", "get_files"]


def get_files(
    dataset: PublicDataset,
    folder: str | Path,
    *,
    progress_of: Callable[[RemoteFile], Progress] = lambda file: lambda done, total: None,
    pause_s: float = 1.0,
) -> list[Path]:
    """Download a data set of files and make it ready; what is there and right is kept.

    Args:
        dataset: one with ``files``.
        folder: where it goes; downloads that are unpacked stay in ``folder/downloads``.
        progress_of: gives for each file whom to tell about its bytes.
        pause_s: seconds before another attempt.

    Returns:
        The files to use: the labels table or the MedMNIST file, and the splits.

    Raises:
        DatasetError: a file cannot be downloaded, has another checksum than published or than recorded the first time,
            or does not hold what it should.
    """
    folder = Path(folder).expanduser()
    downloads = folder if dataset.kind == "medmnist" else folder / "downloads"
    record = folder / "checksums.json"
    known = _read_record(record)
    for file in dataset.files:
        recorded = known.get(file.url, "")
        digest = download(
            file.url,
            downloads / file.name,
            md5=file.md5 or None,
            sha256=recorded or None,
            progress=progress_of(file),
            pause_s=pause_s,
        )
        if digest != recorded:
            known[file.url] = digest
            write_durably(record, (json.dumps(known, indent=1, sort_keys=True) + "\n").encode())
    if dataset.kind == "medmnist":
        return prepare_medmnist(downloads / dataset.files[0].name, folder)
    return {"covid_ct": prepare_covid_ct, "head_ct": prepare_head_ct}[dataset.kind](downloads, folder)


def get_collection(
    dataset: PublicDataset,
    folder: str | Path,
    *,
    modality: str | None = "CT",
    body_part: str | None = None,
    patients: Sequence[str] = (),
    limit: int | None = None,
    base_url: str = NBIA_URL,
    connections: int = 3,
    listed: Callable[[int], None] = lambda count: None,
    received: Callable[[int], None] = lambda count: None,
    fetched: Callable[[], None] = lambda: None,
    pause_s: float = 1.0,
) -> Path:
    """Fetch the series of a TCIA collection that pass the filter; series that are there are not asked for again.

    Args:
        dataset: one with a ``collection``.
        folder: where it goes, as ``PATIENT/SERIES_UID/*.dcm``.
        modality: see :func:`~monai_ext.data.public.nbia.list_series`.
        body_part: as there.
        patients: as there.
        limit: at most so many series.
        base_url: where the interface is.
        connections: how many series at a time.
        listed: told how many series there are.
        received: told about bytes as they arrive.
        fetched: told about every series that is there.
        pause_s: seconds before another attempt.

    Raises:
        DatasetError: see :func:`~monai_ext.data.public.nbia.fetch_series`.
    """
    folder = Path(folder).expanduser()
    series = list_series(
        dataset.collection,
        modality=modality,
        body_part=body_part,
        patients=patients,
        base_url=base_url,
        pause_s=pause_s,
    )[:limit]
    listed(len(series))
    for _ in fetch_series(
        series, folder, base_url=base_url, connections=connections, received=received, pause_s=pause_s
    ):
        fetched()
    return folder


def _read_record(record: Path) -> dict[str, str]:
    try:
        return {str(url): str(digest) for url, digest in read_json(record).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as error:
        raise DatasetError(f"{record} is damaged ({error}): delete it to record the checksums anew.") from error
