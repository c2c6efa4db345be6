"""What a worker does with files: says which series they belong to, and makes stacks of slices from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from monai_ext.data.dicom.elements import identifier
from monai_ext.data.dicom.header import quiet_pydicom, read_header
from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.data.ingestion.dicom_stacks import DicomStacks
from monai_ext.data.ingestion.messages import Finished, Message, Reading, SeriesFound, Task
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.outcomes import outcome_of
from monai_ext.data.ingestion.picture_stacks import PictureStacks
from monai_ext.data.ingestion.volume_stack import read_volume
from monai_ext.data.pseudonyms import Pseudonyms

__all__ = ["SourceReader"]

_SERIES_INSTANCE_UID = 0x0020000E
_ZIP_MARK = b"PK\x03\x04"


class SourceReader:
    """Reads files of a source; called in a worker process.

    Args:
        source: the folder that names are relative to.
        source_kind: ``"ct"``, ``"mr"`` or ``"picture"``.
        options: what to do.
        pseudonyms: makes ids.
    """

    def __init__(self, source: Path, *, source_kind: str, options: IngestOptions, pseudonyms: Pseudonyms) -> None:
        self._source, self._kind, self._options, self._pseudonyms = source, source_kind, options, pseudonyms
        self._readers: dict[str, Callable[[Task], Iterator[Message]]] = {
            "scan": self._scan,
            "dicom": self._dicom,
            "volume": self._volumes,
            "picture": self._pictures,
        }

    def load_libraries(self) -> None:
        """Import what every worker needs, before there are any: each would take a second for it, and so would each that
        takes the place of one that a hostile file has ended."""
        import blosc2  # noqa: F401

        if self._kind == "picture":
            from PIL import Image

            from monai_ext.data.sources import pictures  # noqa: F401

            Image.preinit()
        else:
            import pydicom  # noqa: F401

    def __call__(self, task: Task) -> Iterator[Message]:
        """Do a task."""
        yield from self._readers[task.kind](task)

    def _scan(self, task: Task) -> Iterator[Message]:
        with quiet_pydicom():
            for reference in task.files:
                yield Reading(reference.file)
                try:
                    yield SeriesFound(reference.file, self._unit(self._source / reference.name))
                except Exception as error:  # whatever a hostile file provokes ends this file only
                    yield Finished(reference.file, outcome_of(error))

    def _unit(self, path: Path) -> bytes:
        with path.open("rb") as stream:
            if stream.read(len(_ZIP_MARK)) == _ZIP_MARK:
                raise Refusal(SkipReason.ARCHIVE)
        series_uid = identifier(read_header(path, until=_SERIES_INSTANCE_UID + 1).dataset, "SeriesInstanceUID")
        return self._pseudonyms.digest("unit", series_uid) if series_uid else b""

    def _dicom(self, task: Task) -> Iterator[Message]:
        options, pseudonyms = self._options, self._pseudonyms
        stacks = DicomStacks(task, source=self._source, source_kind=self._kind, options=options, pseudonyms=pseudonyms)
        with quiet_pydicom():
            yield from stacks.read()

    def _pictures(self, task: Task) -> Iterator[Message]:
        yield from PictureStacks(task, source=self._source, options=self._options, pseudonyms=self._pseudonyms).read()

    def _volumes(self, task: Task) -> Iterator[Message]:
        for reference in task.files:
            yield Reading(reference.file)
            try:
                stack = read_volume(
                    self._source,
                    reference,
                    source_kind=self._kind,
                    options=self._options,
                    pseudonyms=self._pseudonyms,
                )
                (instance,) = stack.instances
                if instance in task.stored:
                    yield Finished(reference.file, task.outcome_of_stored(instance, reference.file))
                else:
                    yield stack
            except Exception as error:  # whatever a hostile file provokes ends this file only
                yield Finished(reference.file, outcome_of(error))
