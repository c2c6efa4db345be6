"""What a worker does with a task; its parts are tested on their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.dicom_files import ct_slice, write

PROGRAM = """
import sys
from pathlib import Path
from monai_ext.data.ingestion.messages import FileRef, Stack, Task
from monai_ext.data.ingestion.options import IngestOptions
from monai_ext.data.ingestion.source_reader import SourceReader
from monai_ext.data.pseudonyms import Pseudonyms
folder, source_kind, *tasks = sys.argv[1:]
reader = SourceReader(Path(folder), source_kind=source_kind, options=IngestOptions(), pseudonyms=Pseudonyms(b"k" * 32))
reader.load_libraries()
before = set(sys.modules)
files, unit = [FileRef(file.name.encode(), file.name) for file in Path(folder).iterdir()], b""
for kind in tasks:
    messages = list(reader(Task(kind, files, unit)))
    unit = getattr(messages[-1], "unit", b"")
assert any(isinstance(message, Stack) for message in messages), messages
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(new & {"PIL", "blosc2", "monai_ext", "pydicom"} or "none")
"""


@pytest.mark.parametrize(("source_kind", "tasks"), [("picture", ["picture"]), ("ct", ["scan", "dicom"])])
def test_libraries_are_imported_before_there_are_workers(tmp_path: Path, source_kind: str, tasks: list[str]) -> None:
    """Each worker took a second for it, also those that replace one which a hostile file has ended."""
    if source_kind == "picture":
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "0.png")
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "1.jpg")
    else:
        write(ct_slice(0.0), tmp_path / "0.dcm")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), source_kind, *tasks]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "none"
