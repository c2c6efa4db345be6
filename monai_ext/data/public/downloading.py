"""Downloads files over HTTP: resumes what was cut, and believes neither the connection nor the server."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from monai_ext.errors import DatasetError

if TYPE_CHECKING:
    import requests

__all__ = ["Progress", "download", "open_session", "sha256_of"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there by now and the bytes of the whole file, None when the server does not say."""

_BLOCK = 1 << 16
_ATTEMPTS = 6
_TIMEOUT_S = (20, 90)
_WORTH_ANOTHER_TRY = (408, 425, 429, 500, 502, 503, 504)


def download(
    url: str,
    target: Path,
    *,
    md5: str | None = None,
    sha256: str | None = None,
    progress: Progress = lambda done, total: None,
    pause_s: float = 1.0,
) -> str:
    """Download ``url`` to ``target`` and return the file's SHA-256; nothing is done when it is there and right.

    Bytes arrive in ``target.part``, which becomes ``target`` when it is complete and right. After a dropped connection,
    or in a later call, it is continued where it stopped, if the server still offers the same file and honours ranges;
    else it is started again. Without a published checksum only the length is checked: the caller decides what the
    returned SHA-256 is compared with.

    Args:
        url: address.
        target: file to write.
        md5: published checksum, in hexadecimal digits.
        sha256: published or recorded checksum.
        progress: told about every block.
        pause_s: seconds before the second attempt; doubled with every attempt that brought nothing.

    Raises:
        DatasetError: the server refuses, keeps failing, or the file has another checksum; the disk is full.
    """
    expected = {name: value for name, value in (("md5", md5), ("sha256", sha256)) if value}
    if target.is_file() and not _wrong_checksum(target, expected):
        return sha256_of(target)
    part = target.with_name(f"{target.name}.part")
    with _explained(url, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = _fetch_completely(url, part, progress, pause_s)
        wrong = _wrong_checksum(part, expected)
        if wrong and resumed:  # pieces of different files may have been put together
            logger.warning("%s has a wrong checksum after it was resumed; it is downloaded again as a whole.", url)
            _forget(part)
            _fetch_completely(url, part, progress, pause_s)
            wrong = _wrong_checksum(part, expected)
        if wrong:
            _forget(part)
            raise DatasetError(
                f"{url} was downloaded, but {wrong}. The file was deleted: the server has another file than the one"
                " that was published, or somebody changed it on its way. Try again later, or from another network."
            )
        digest = sha256_of(part)
        part.replace(target)
        _forget(part)
    return digest


def open_session() -> requests.Session:
    """An HTTP session that says who asks and wants files as they are, not compressed on the way."""
    import requests

    import monai_ext

    session = requests.Session()
    session.headers.update({"Accept-Encoding": "identity", "User-Agent": f"monai-ext/{monai_ext.__version__}"})
    return session


def sha256_of(file: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    return _digest(file, "sha256")


def check_status(response: requests.Response, url: str) -> None:
    """Refuse an answer that another attempt will not change.

    Raises:
        DatasetError: the server says that it does not have the file, or not for us.
    """
    if response.status_code >= 400 and response.status_code not in _WORTH_ANOTHER_TRY:
        raise DatasetError(
            f"{url} cannot be downloaded: the server answers {response.status_code} {response.reason}. Look at the data"
            " set's home page; it may have moved."
        )
    response.raise_for_status()


def with_retries(action: Callable[[], bool], *, url: str, pause_s: float) -> None:
    """Call ``action`` until it does not fail, at most six times in a row without any bytes.

    ``action`` returns True when it is done, and False when it was cut after it had brought something.

    Raises:
        DatasetError: it kept failing.
    """
    import requests

    failures = 0
    while True:
        try:
            if action():
                return
            failures = 0
            reason: object = "the connection was cut"
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise DatasetError(f"{url!r} is no address that can be downloaded from: https://... is expected.") from None
        except requests.RequestException as error:
            failures += 1
            reason = error
        if failures >= _ATTEMPTS:
            raise DatasetError(
                f"{url} cannot be downloaded: {_ATTEMPTS} attempts failed, the last one with: {reason}. What has"
                " arrived is kept: start again when the network is back."
            )
        pause = pause_s * 2 ** max(0, failures - 1)
        logger.info("%s: %s; trying again in %.1f s.", url, reason, pause)
        time.sleep(pause)


def _fetch_completely(url: str, part: Path, progress: Progress, pause_s: float) -> bool:
    """Fill ``part``; returns whether it was put together from several answers."""
    import requests

    session = open_session()
    answers = 0

    def attempt() -> bool:
        nonlocal answers
        had = part.stat().st_size if part.exists() else 0
        answers += 1 + (had > 0)
        try:
            return _fetch_rest(session, url, part, progress)
        except requests.RequestException:
            if part.exists() and part.stat().st_size > had:
                return False
            raise

    with session:
        with_retries(attempt, url=url, pause_s=pause_s)
    return answers > 1


def _fetch_rest(session: requests.Session, url: str, part: Path, progress: Progress) -> bool:
    """Ask for what is missing and append it; True when the file is complete.

    Raises:
        requests.RequestException: the connection failed, or the server sent other bytes than it was asked for; in the
            latter case the next attempt starts from the beginning.
    """
    import requests

    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": _known_version(part)} if have and _known_version(part) else {}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S) as response:
        start, total = _range(response)
        if response.status_code == 416 and total == have:
            return True
        if response.status_code == 416 or (response.status_code == 206 and start != have):
            _forget(part)
            raise requests.RequestException(f"bytes from {have} on were asked for, and others were sent")
        check_status(response, url)
        have = start
        _remember_version(part, response)
        with part.open("ab" if have else "wb") as stream:
            for block in response.iter_content(_BLOCK):
                stream.write(block)
                have += len(block)
                progress(have, total)
    return total is None or have >= total


def _range(response: requests.Response) -> tuple[int, int | None]:
    """First byte of an answer, and length of the whole file."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if found:
        return int(found[1] or 0), int(found[2]) if found[2] != "*" else None
    length = response.headers.get("Content-Length", "")
    return (0, int(length) if length.isdigit() else None) if response.status_code == 200 else (-1, None)


def _known_version(part: Path) -> str:
    """What the server called the version of the file that ``part`` is the beginning of."""
    try:
        return str(json.loads(_notes(part).read_text())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _remember_version(part: Path, response: requests.Response) -> None:
    tag = response.headers.get("ETag", "")
    version = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    _notes(part).write_text(json.dumps({"version": version}))


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)


def _wrong_checksum(file: Path, expected: dict[str, str]) -> str:
    for algorithm, published in expected.items():
        found = _digest(file, algorithm)
        if found != published.lower():
            return f"its {algorithm.upper()} is {found} instead of {published.lower()}"
    return ""


def _digest(file: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _explained(url: str, target: Path) -> Iterator[None]:
    """Turn errors of the disk into a sentence; ``requests`` has its own kind of OSError, which is dealt with before."""
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{url} cannot be written to {target}: {error.strerror or error}.") from error
