"""Receive series by C-STORE and hand each association's files over, when it has ended as it should."""

from __future__ import annotations

import logging
import queue
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_ext.errors import PacsError
from monai_ext.files import write_durably
from monai_ext.folder_lock import FolderLock
from monai_ext.sharing.infer.pacs import OWN_TITLE, need_pynetdicom

__all__ = ["Receiver"]

logger = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
VERIFICATION = "1.2.840.10008.1.1"
INCOMING, ARRIVED, INCOMPLETE = "incoming", "arrived", "incomplete"
MOST_FILES = 20_000
"""Files of one association; beyond it the sender is told that there is no room."""


class Receiver:
    """A DICOM node that takes objects, and tells when an association has brought all it had.

    Files get numbers for names, so that nothing a sender writes becomes a path. They lie in ``incoming``, and once the
    association has been released in ``arrived``. One that is dropped leaves its files in ``incomplete``: half a series
    is not answered. A sender may delete what was taken, so nothing is lost when this process is killed: the next one
    that listens in the folder hands over what has arrived, and keeps the rest in ``incomplete``.

    Args:
        folder: where to keep what arrives; made when missing.
        title: by which this node is called.
        accepted: titles of senders; anyone's when empty.
    """

    def __init__(self, folder: Path, *, title: str = OWN_TITLE, accepted: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.title = title
        self.accepted = accepted
        self.arrived: queue.Queue[Path] = queue.Queue()
        self._folders: dict[int, Path] = {}
        self._counts: dict[int, int] = {}
        self._lock = threading.Lock()
        self._folder_lock = FolderLock(folder)
        for name in (INCOMING, ARRIVED, INCOMPLETE):
            try:
                (folder / name).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise PacsError(f"The folder {folder / name} cannot be made: {error.strerror or error}.") from error
        earlier = [path.name for path in folder.glob("*/*") if path.name.isdigit()]
        self._number = max((int(name) for name in earlier), default=0)

    @contextmanager
    def listening(self, host: str, port: int) -> Iterator[int]:
        """Listen while a ``with`` block runs; gives the port, which is a free one for 0.

        Raises:
            PacsError: the port is taken, or may not be listened on; or another process listens in the folder.
        """
        pynetdicom = need_pynetdicom()
        try:
            self._folder_lock.acquire()
        except OSError as error:
            raise PacsError(
                "What arrives cannot be kept in {folder}: {reason}. Name another folder.",
                folder=self.folder,
                reason=error,
            ) from error
        try:
            self._take_over()
            with self._serving(pynetdicom, host, port) as listening_on:
                yield listening_on
        finally:
            self._folder_lock.release()

    def _take_over(self) -> None:
        """What a process that was killed has left: studies that nobody answered, and halves."""
        for half in sorted((self.folder / INCOMING).iterdir()):
            self._keep_incomplete(half)
        for left in sorted((self.folder / ARRIVED).iterdir()):
            logger.warning("%s arrived earlier and was not answered: it is answered now.", left)
            self.arrived.put(left)

    @contextmanager
    def _serving(self, pynetdicom: Any, host: str, port: int) -> Iterator[int]:
        events = pynetdicom.evt
        handlers = [
            (events.EVT_C_STORE, self._take),
            (events.EVT_RELEASED, self._released),
            (events.EVT_ABORTED, self._dropped),
            (events.EVT_CONN_CLOSE, self._dropped),
        ]
        entity = pynetdicom.AE(ae_title=self.title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(self.accepted)
        for context in pynetdicom.AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax, pynetdicom.ALL_TRANSFER_SYNTAXES)
        entity.add_supported_context(VERIFICATION)
        try:
            server = entity.start_server((host, port), block=False, evt_handlers=handlers)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise PacsError(f"Port {port} of {host} cannot be listened on: {reason}. Name another port.") from error
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()

    def _take(self, event: Any) -> int:
        key = id(event.assoc)
        with self._lock:
            if key not in self._folders:
                self._number += 1
                self._folders[key] = self.folder / INCOMING / f"{self._number:06d}"
                self._counts[key] = 0
            self._counts[key] += 1
            number, folder = self._counts[key], self._folders[key]
        if number > MOST_FILES:
            return OUT_OF_RESOURCES
        try:
            folder.mkdir(exist_ok=True)
            write_durably(folder / f"{number:06d}.dcm", event.encoded_dataset(), sync_name=False)
        except OSError as error:
            logger.error("An object could not be kept (%s); the sender was told so.", error.strerror or error)
            return OUT_OF_RESOURCES
        except (ValueError, AttributeError, TypeError):
            return CANNOT_UNDERSTAND
        return SUCCESS

    def _released(self, event: Any) -> None:
        folder = self._forget(event)
        if folder is not None and folder.is_dir():
            arrived = self.folder / ARRIVED / folder.name
            folder.rename(arrived)
            self.arrived.put(arrived)

    def _dropped(self, event: Any) -> None:
        folder = self._forget(event)
        if folder is None or not folder.is_dir():
            return
        self._keep_incomplete(folder)

    def _keep_incomplete(self, folder: Path) -> None:
        target = self.folder / INCOMPLETE / folder.name
        logger.warning("An association was dropped; its objects are kept in %s and are not answered.", target)
        shutil.move(folder, target)

    def _forget(self, event: Any) -> Path | None:
        with self._lock:
            return self._folders.pop(id(event.assoc), None)
