"""Downloads from a server that misbehaves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.loopback import Resource, serve
from monai_ext.data.public.downloading import download
from monai_ext.errors import DatasetError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def resources() -> dict[str, Resource]:
    return {}


@pytest.fixture
def url(resources: dict[str, Resource]) -> Iterator[Callable[[str], str]]:
    with serve(resources) as address:
        yield address


def get(url: str, target: Path, **options: object) -> str:
    return download(url, target, pause_s=0.001, **options)


def test_a_file_arrives_with_its_hash_and_progress(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT)
    seen = []
    digest = get(url("/a"), tmp_path / "deep" / "a", md5=MD5, progress=lambda done, total: seen.append((done, total)))
    assert digest == SHA256
    assert (tmp_path / "deep" / "a").read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["a"]


def test_what_is_there_and_right_is_not_asked_for_again(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT)
    (tmp_path / "a").write_bytes(CONTENT)
    assert get(url("/a"), tmp_path / "a", md5=MD5) == SHA256
    assert resources["/a"].requested == []


def test_after_cuts_only_the_rest_is_asked_for(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT, cut_after=[300_000, 200_000])
    assert get(url("/a"), tmp_path / "a", md5=MD5) == SHA256
    first, second, third = resources["/a"].requested
    assert first is None
    assert 0 < int(second[6:-1]) < int(third[6:-1]) < len(CONTENT)


def test_a_later_call_continues_what_an_earlier_one_began(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT, cut_after=[300_000] + [0] * 6)
    with pytest.raises(DatasetError, match=r"6 attempts failed.* What has arrived is kept"):
        get(url("/a"), tmp_path / "a")
    had = (tmp_path / "a.part").stat().st_size
    assert get(url("/a"), tmp_path / "a", sha256=SHA256) == SHA256
    assert resources["/a"].requested[-1] == f"bytes={had}-"


@pytest.mark.parametrize("ranges", ["ignored", "shifted"])
def test_ranges_that_are_answered_wrongly_end_in_the_right_file(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path, ranges: str
) -> None:
    resources["/a"] = Resource(CONTENT, cut_after=[300_000], ranges=ranges)
    assert get(url("/a"), tmp_path / "a", md5=MD5) == SHA256


def test_a_file_that_changed_meanwhile_is_not_put_together_from_two_versions(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT[::-1], cut_after=[300_000] + [0] * 6)
    with pytest.raises(DatasetError):
        get(url("/a"), tmp_path / "a")
    resources["/a"] = Resource(CONTENT, tag='"v2"')
    assert get(url("/a"), tmp_path / "a") == SHA256


def test_pieces_of_two_versions_under_one_tag_are_noticed_by_the_checksum(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT[::-1], cut_after=[300_000] + [0] * 6)
    with pytest.raises(DatasetError):
        get(url("/a"), tmp_path / "a")
    resources["/a"] = Resource(CONTENT)
    assert get(url("/a"), tmp_path / "a", md5=MD5) == SHA256
    assert resources["/a"].requested[-1] is None


def test_without_a_tag_nothing_is_resumed(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT, cut_after=[300_000], tag="")
    assert get(url("/a"), tmp_path / "a") == SHA256
    assert resources["/a"].requested == [None, None]


def test_a_cut_is_noticed_without_a_length_too(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT, cut_after=[300_000], sized=False)
    assert get(url("/a"), tmp_path / "a") == SHA256


def test_a_connection_that_stalls_is_given_up_and_resumed(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monai_ext.data.public.downloading._TIMEOUT_S", (5, 0.2))
    resources["/a"] = Resource(CONTENT, stalls=1)
    assert get(url("/a"), tmp_path / "a", md5=MD5) == SHA256
    assert resources["/a"].requested[1].startswith("bytes=")


def test_a_wrong_checksum_is_refused_and_nothing_is_left(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT[:-1] + b"x")
    with pytest.raises(DatasetError, match=rf"its MD5 is [0-9a-f]{{32}} instead of {MD5}.* was deleted"):
        get(url("/a"), tmp_path / "a", md5=MD5)
    assert list(tmp_path.iterdir()) == []
    assert len(resources["/a"].requested) == 1


def test_a_server_that_is_busy_is_asked_again(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT, statuses=[503, 429, 500])
    assert get(url("/a"), tmp_path / "a") == SHA256


def test_a_server_that_stays_busy_is_given_up(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    resources["/a"] = Resource(CONTENT, statuses=[503] * 6)
    with pytest.raises(DatasetError, match=r"6 attempts failed.*503"):
        get(url("/a"), tmp_path / "a")


@pytest.mark.parametrize(("path", "status"), [("/missing", 404), ("/a", 403)])
def test_a_refusal_is_final(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path, path: str, status: int
) -> None:
    resources["/a"] = Resource(CONTENT, statuses=[403])
    with pytest.raises(DatasetError, match=rf"the server answers {status} .*home page"):
        get(url(path), tmp_path / "a")


def test_no_server_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="6 attempts failed"):
        get("http://127.0.0.1:9/a", tmp_path / "a")


@pytest.mark.parametrize("address", ["/getSeries", "ftp://host/file", "http://"])
def test_what_is_no_address_is_refused_at_once(tmp_path: Path, address: str) -> None:
    with pytest.raises(DatasetError, match=r"is no address that can be downloaded from: https://"):
        download(address, tmp_path / "a")


def test_a_target_that_cannot_be_written_is_said(
    resources: dict[str, Resource], url: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        get(url("/a"), tmp_path / "file" / "a")
