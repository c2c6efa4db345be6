"""A program gives the network's numbers for any batch, and does not say where the code lies that it was made from."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import torch
from torch import nn

from monai_ext.networks.exported_program import export_program


def test_a_program_takes_batches_of_any_size_and_names_no_folder(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.ReLU()).eval()
    torch.export.save(export_program(network, torch.zeros(2, 1, 2, 2)), tmp_path / "network.pt2")
    loaded = torch.export.load(tmp_path / "network.pt2").module()
    for count in (1, 5):
        images = torch.rand(count, 1, 2, 2)
        torch.testing.assert_close(loaded(images), network(images))
    with zipfile.ZipFile(tmp_path / "network.pt2") as archive:
        said = b"".join(map(archive.read, archive.namelist()))
    assert sys.prefix.encode() not in said
    assert b"site-packages" not in said
