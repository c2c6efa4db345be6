"""TorchScript of MONAI's export is the same program without the folders of the machine."""

import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from monai_ext.errors import WeightsError
from monai_ext.sharing import remove_source_places

TORCH = str(Path(torch.__file__).parent).encode()


def _parts(file: Path) -> list[bytes]:
    with zipfile.ZipFile(file) as archive:
        return [archive.read(entry) for entry in archive.infolist()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_network_computes_the_same_without_the_places_of_its_sources(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU()).eval()
    file = tmp_path / "model.ts"
    torch.jit.save(torch.jit.script(network), str(file), _extra_files={"metadata.json": "{}"})
    assert any(TORCH in part for part in _parts(file))
    remove_source_places(file)
    assert not any(TORCH in part for part in _parts(file))
    extra = {"metadata.json": ""}
    loaded = torch.jit.load(str(file), _extra_files=extra)
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(loaded(images), network(images))
    assert extra["metadata.json"] == b"{}"


def test_what_is_no_torchscript_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.ts").write_bytes(b"no archive")
    with pytest.raises(WeightsError, match="is no TorchScript file that can be read"):
        remove_source_places(tmp_path / "model.ts")
