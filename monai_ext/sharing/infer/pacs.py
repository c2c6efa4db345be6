"""Send DICOM objects to a PACS by C-STORE, and receive series to be answered."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from monai_ext.errors import PacsError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["PacsAddress", "need_pynetdicom", "parse_address", "send_objects"]

logger = logging.getLogger(__name__)

OWN_TITLE = "MONAI_EXT"
TRIES = 3
TIMEOUT_SECONDS = 30
_ADDRESS = re.compile(r"(?P<title>[\x21-\x5b\x5d-\x7e]{1,16})@(?P<host>[\w.:-]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_OUT_OF_RESOURCES = range(0xA700, 0xA800)
_WARNINGS = range(0xB000, 0xC000)


@dataclass(frozen=True)
class PacsAddress:
    """Where a DICOM node listens: application entity title, host and port."""

    title: str
    host: str
    port: int


def parse_address(text: str) -> PacsAddress:
    """Read ``AE@HOST:PORT``.

    Raises:
        PacsError: it is none.

    >>> parse_address("ARCHIVE@pacs.example.org:104").port
    104
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        raise PacsError(f"{text!r} is no address of a PACS: expected is AE@HOST:PORT, such as ARCHIVE@pacs.local:104.")
    return PacsAddress(found["title"], found["host"].strip("[]"), int(found["port"]))


def need_pynetdicom() -> Any:
    """The package pynetdicom, quiet.

    Raises:
        PacsError: it is not installed.
    """
    try:
        import pynetdicom
    except ImportError as error:
        raise PacsError("Talking to a PACS needs pynetdicom: pip install 'monai-ext[sharing]'.") from error
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    return pynetdicom


def send_objects(contents: Sequence[bytes], address: PacsAddress, *, title: str = OWN_TITLE, tries: int = TRIES) -> int:
    """Store objects in a PACS; returns how many it took, which is all of them.

    When the association is dropped, it is opened again and what is left is sent; what was taken is not sent twice.

    Args:
        contents: DICOM files.
        address: of the PACS.
        title: by which this side calls itself.
        tries: associations that are opened at most.

    Raises:
        PacsError: it cannot be reached, refuses, is full, or drops every association; what it took is said.
    """
    from pydicom import dcmread

    datasets = [dcmread(io.BytesIO(content)) for content in contents]
    left: list[Dataset] = list(datasets)
    problem = ""
    kept = "The objects are in the output folder; send them from there when it is well again."
    try:
        for _ in range(tries):
            problem = _send_once(left, address, title)
            if not left:
                return len(datasets)
    except PacsError as error:
        raise PacsError(f"{_taken(left, datasets, address)}. {error} {kept}") from error
    raise PacsError(f"{_taken(left, datasets, address)} in {tries} tries: {problem}. {kept}")


def _taken(left: Sequence[Dataset], datasets: Sequence[Dataset], address: PacsAddress) -> str:
    count = len(datasets) - len(left)
    return f"{address.title}@{address.host}:{address.port} took {count} of {len(datasets)} objects"


def _send_once(left: list[Dataset], address: PacsAddress, title: str) -> str:
    """Send until all are taken or the association ends; removes what was taken, and says what went wrong."""
    pynetdicom = need_pynetdicom()
    entity = pynetdicom.AE(ae_title=title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_SECONDS
    entity.connection_timeout = TIMEOUT_SECONDS
    for sop_class in {dataset.SOPClassUID for dataset in left}:
        syntaxes = {d.file_meta.TransferSyntaxUID for d in left if d.SOPClassUID == sop_class}
        entity.add_requested_context(sop_class, sorted(syntaxes))
    association = entity.associate(address.host, address.port, ae_title=address.title)
    if not association.is_established:
        return _why_not(association)
    try:
        while left:
            problem = _store(association, left[0])
            if problem:
                return problem
            left.pop(0)
    finally:
        if association.is_established:
            association.release()
    return ""


def _why_not(association: Any) -> str:
    if association.is_rejected:
        return "it rejected the association (is this side's AE title known there, and its own title right?)"
    return "it does not answer there, or ended the association at once"


def _store(association: Any, dataset: Dataset) -> str:
    """Store one object; empty when it was taken.

    Raises:
        PacsError: it refuses the object for good.
    """
    try:
        status = association.send_c_store(dataset)
    except (RuntimeError, ValueError) as error:
        if association.is_established:
            raise PacsError(f"It takes no objects of this kind ({error}): let it accept SR, SC and SEG.") from error
        return "the association was dropped"
    if "Status" not in status:
        return "the association was dropped, or no answer came in time"
    if status.Status in _OUT_OF_RESOURCES:
        return f"it is out of resources (status {status.Status:04X}), as when its disk is full"
    if status.Status in _WARNINGS:
        logger.warning("The PACS took an object with the warning %04X.", status.Status)
    elif status.Status != 0:
        comment = f": {status.ErrorComment}" if "ErrorComment" in status else ""
        raise PacsError(f"It refused an object (status {status.Status:04X}{comment}).")
    return ""
