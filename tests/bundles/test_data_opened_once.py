"""A pre-training bundle looks through its data once, for training and validation together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from helpers.file_accesses import file_accesses
from helpers.slice_files import write_series
from monai_ext.data.dicom import series

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [
    path for path in sorted((ROOT / "bundles").glob("*/configs/train.json")) if "data.open_sections" in path.read_text()
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.parents[1].name)
def test_dicom_is_walked_once_and_each_header_read_once_before_the_first_batch(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        write_series(tmp_path / str(number), slices=4, size=32, number=number)
    headers: Counter[Path] = Counter()
    read_header = series.read_header
    monkeypatch.setattr(series, "read_header", lambda path: headers.update([path]) or read_header(path))
    parser = ConfigParser()
    parser.read_config(str(config))
    parser.update({"dataset_dir": str(tmp_path), "image_size": 32, "batch_size": 2, "num_workers": 0})
    with file_accesses(tmp_path) as accesses:
        loaders = [parser.get_parsed_content(f"{section}::dataloader") for section in ("train", "validate")]
        batches = [next(iter(loader)) for loader in loaders]
    assert [len(batch) for batch in batches] == [2, 2]
    assert accesses.listed == {".": 1, "1": 1, "2": 1, "3": 1}
    assert set(headers.values()) == {1}
    assert len(headers) == 12
