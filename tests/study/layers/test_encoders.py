"""Encoders are opened together: named apart, each with its input, and all that is wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from monai_ext.errors import WeightsError
from monai_ext.networks import build_encoder
from monai_ext.study.layers import open_encoders


def write(path: Path, **metadata: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = build_encoder("resnet18", spatial_dims=int(str(metadata.pop("dims", 2)))).state_dict()
    torch.save({"state_dict": state, "metadata": {"monai_ext_version": "0", **metadata}}, path)
    return str(path)


def test_untrained_encoders_of_both_beginnings_are_added_once_for_each_kind(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "a" / "encoder.pt", method="SparK", image_size=64, window="lung", seed=3),
        write(tmp_path / "b.pt", method="BYOL", image_size=64, window="lung"),
        write(tmp_path / "c.pt", method="BYOL", image_size=96, window="lung"),
    ]
    found = open_encoders([str(tmp_path / "a"), *files[1:]])
    assert [encoder.name for encoder in found] == [
        "SparK",
        "BYOL (b)",
        "BYOL (c)",
        "scratch (resnet18, 64 px, seed 3)",
        "start (resnet18, 64 px, seed 3)",
        "scratch (resnet18, 96 px, seed 3)",
        "start (resnet18, 96 px, seed 3)",
    ]
    assert [encoder.image_size for encoder in found] == [64, 64, 96, 64, 64, 96, 96]
    scratch, start = found[3].network, found[4].network
    assert torch.equal(scratch.layer4[0].conv1.weight, start.layer4[0].conv1.weight)
    assert float(start.layer4[1].bn2.weight.abs().sum()) == 0
    assert float(scratch.layer4[1].bn2.weight.abs().sum()) > 0


def test_names_of_ones_own_and_words_for_random_weights_keep_their_place(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pt", image_size=64, window="full")
    found = open_encoders(["scratch:7", f"mine={file}", "scratch:8"])
    assert [e.name for e in found] == [
        "scratch (resnet18, 64 px, seed 7)", "mine", "scratch (resnet18, 64 px, seed 8)", "start",
    ]  # fmt: skip
    assert [encoder.trained for encoder in found] == [False, True, False, False]
    assert not torch.equal(found[0].network.conv1.weight, found[2].network.conv1.weight)


def test_the_same_file_twice_has_two_names(tmp_path: Path) -> None:
    file = write(tmp_path / "a.pt", image_size=64, window="full")
    assert [e.name for e in open_encoders([file, file])][:2] == ["a (a) 1", "a (a) 2"]


def test_a_file_that_says_nothing_of_its_images_takes_what_the_first_other_says(tmp_path: Path, caplog) -> None:
    torch.save(build_encoder("resnet18").state_dict(), tmp_path / "plain.pth")
    file = write(tmp_path / "a.pt", image_size=96, window="lung")
    plain, _, *_ = open_encoders([str(tmp_path / "plain.pth"), file])
    assert (plain.image_size, plain.window) == (96, "lung")
    assert (
        "plain: the file does not say how its images were made; image size 96 and window lung are used" in caplog.text
    )


def test_all_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    volumes = write(tmp_path / "volumes.pt", dims=3)
    small = write(tmp_path / "small.pt", image_size=32, window="full")
    (tmp_path / "damaged.pt").write_bytes(b"PK" * 50)
    with pytest.raises(WeightsError) as error:
        open_encoders([volumes, small, str(tmp_path / "damaged.pt"), str(tmp_path / "no.pt"), "scratch"])
    text = str(error.value)
    assert text.startswith("4 of 4 encoders cannot be explained:\n")
    assert "volumes.pt is a 3D resnet18" in text
    assert "fewer than 2 x 2 units for images of 32 pixels. Choose an image size of at least 64" in text
    assert "damaged.pt" in text
    assert "There is no weights file" in text


def test_random_weights_alone_are_no_comparison() -> None:
    with pytest.raises(WeightsError, match="No encoder was given to explain"):
        open_encoders(["scratch", "start:4"])
