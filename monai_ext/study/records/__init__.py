"""What cells leave: one file each, named by its inputs, written in one step, sealed by a hash."""

from monai_ext.study.records.folder import StudyFolder
from monai_ext.study.records.record import Record, read_record, write_record

__all__ = ["Record", "StudyFolder", "read_record", "write_record"]
