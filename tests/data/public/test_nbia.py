"""Collections of TCIA from a server on loopback that answers like the archive, or worse."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.loopback import Resource, serve
from monai_ext.data.public.catalog import find_dataset
from monai_ext.data.public.get import get_collection
from monai_ext.data.public.nbia import fetch_series, list_series
from monai_ext.errors import DatasetError

LIST = "/getSeries?Collection=LIDC-IDRI&Modality=CT&format=json"
SERIES = {"1.2.3": "LIDC-IDRI-0002", "1.2.4": "LIDC-IDRI-0001", "1.2.5": "LIDC-IDRI-0001"}


def image_path(uid: str) -> str:
    return f"/getImage?SeriesInstanceUID={uid}&NewFileNames=Yes"


def zip_of(images: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("LICENSE", "CC BY 3.0")
        for number in range(images):
            archive.writestr(f"1-{number:03d}.dcm", f"image {number}" * 100)
    return buffer.getvalue()


@pytest.fixture
def resources() -> dict[str, Resource]:
    listed = [
        {"SeriesInstanceUID": uid, "PatientID": patient, "Modality": "CT", "ImageCount": 2, "FileSize": 1000}
        for uid, patient in SERIES.items()
    ]
    images = {image_path(uid): Resource(zip_of(2), tag="", sized=False) for uid in SERIES}
    return {LIST: Resource(json.dumps(listed).encode()), **images}


@pytest.fixture
def base_url(resources: dict[str, Resource]) -> Iterator[str]:
    with serve(resources) as address:
        yield address("")


def test_series_are_listed_by_patient_with_what_is_known_of_them(base_url: str) -> None:
    series = list_series("LIDC-IDRI", base_url=base_url)
    assert [found.series_uid for found in series] == ["1.2.4", "1.2.5", "1.2.3"]
    assert (series[0].images, series[0].size, series[0].modality) == (2, 1000, "CT")
    assert [found.series_uid for found in list_series("LIDC-IDRI", patients=["LIDC-IDRI-0002"], base_url=base_url)] == [
        "1.2.3"
    ]


def test_a_collection_is_fetched_once(resources: dict[str, Resource], base_url: str, tmp_path: Path) -> None:
    counts = []
    for _ in range(2):
        arrived: list[int] = []
        get_collection(find_dataset("lidc"), tmp_path, base_url=base_url, received=arrived.append, pause_s=0.001)
        counts.append(sum(arrived))
    assert counts == [3 * len(zip_of(2)), 0]
    files = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.dcm"))
    assert files[0] == "LIDC-IDRI-0001/1.2.4/1-000.dcm"
    assert len(files) == 6
    assert not list(tmp_path.rglob("*.zip"))
    assert all(len(resource.requested) == 1 for path, resource in resources.items() if path != LIST)


def test_a_cut_series_is_fetched_again_as_a_whole(
    resources: dict[str, Resource], base_url: str, tmp_path: Path
) -> None:
    resources[image_path("1.2.3")].cut_after = [200, 400]
    series = list_series("LIDC-IDRI", base_url=base_url)
    assert [fetched for _, fetched in fetch_series(series, tmp_path, base_url=base_url, pause_s=0.001)] == [True] * 3
    assert resources[image_path("1.2.3")].requested == [None] * 3


def test_what_was_fetched_before_a_failure_stays(resources: dict[str, Resource], base_url: str, tmp_path: Path) -> None:
    resources[image_path("1.2.3")].statuses = [404]
    series = list_series("LIDC-IDRI", base_url=base_url)
    with pytest.raises(DatasetError, match="404"):
        list(fetch_series(series, tmp_path, base_url=base_url, connections=1, pause_s=0.001))
    outcome = dict(fetch_series(series, tmp_path, base_url=base_url, pause_s=0.001))
    assert {entry.series_uid: fetched for entry, fetched in outcome.items()} == {
        "1.2.4": False,
        "1.2.5": False,
        "1.2.3": True,
    }


def test_a_series_that_lacks_images_is_refused(resources: dict[str, Resource], base_url: str, tmp_path: Path) -> None:
    resources[image_path("1.2.3")].content = zip_of(1)
    with pytest.raises(DatasetError, match="1 images, while the archive lists 2"):
        list(fetch_series(list_series("LIDC-IDRI", base_url=base_url), tmp_path, base_url=base_url))
    assert not (tmp_path / "LIDC-IDRI-0002" / "1.2.3").exists()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"<html>maintenance</html>", "did not answer with a list of series but with '<html>"),
        (b'{"error": 1}', "did not answer with a list of series"),
        (b"", "has no series with modality CT"),
        (b"[]", "it lists 0 series"),
        (b'[{"SeriesInstanceUID": "../../x", "PatientID": "a"}]', "no name for a folder"),
        (b'[{"SeriesInstanceUID": "1.2", "PatientID": ".."}]', "no name for a folder"),
        (b'[{"PatientID": "a"}]', "no name for a folder"),
    ],
)
def test_other_answers_than_a_list_of_series_are_refused(
    resources: dict[str, Resource], base_url: str, answer: bytes, message: str
) -> None:
    resources[LIST].content = answer
    with pytest.raises(DatasetError, match=message):
        list_series("LIDC-IDRI", base_url=base_url)


def test_unknown_patients_are_named(base_url: str) -> None:
    with pytest.raises(DatasetError, match="has no patients LIDC-IDRI-9999"):
        list_series("LIDC-IDRI", patients=["LIDC-IDRI-9999"], base_url=base_url)
