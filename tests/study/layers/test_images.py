"""Encoders are judged by patients, never on a published test section."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.opened_encoders import judged_pictures, write_pictures
from monai_ext.errors import DatasetError, SplitError
from monai_ext.study.layers import open_judged_images


def test_the_test_section_is_left_out_and_each_other_image_is_judged_once(tmp_path: Path) -> None:
    judged = judged_pictures(tmp_path)
    assert len(judged) == 48
    assert judged.left_out == 24
    assert all(judged.data.items.official[place] != "test" for place in judged.places)
    assert sorted(np.concatenate([test for _, _, test in judged.folds]).tolist()) == list(range(48))
    for parts in judged.folds:
        patients = [{judged.groups[number] for number in part} for part in parts]
        assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]


def test_a_limit_takes_whole_patients(tmp_path: Path) -> None:
    judged = open_judged_images(write_pictures(tmp_path, patients=36), limit=31, folds=3)
    assert len(judged) == 30
    assert judged.kept_of == 48
    assert len(set(judged.groups)) == 15


def test_images_are_spread_over_patients_before_any_has_a_second(tmp_path: Path) -> None:
    judged = judged_pictures(tmp_path)
    numbers = judged.spread(24)
    assert len({judged.groups[number] for number in numbers}) == 24
    assert len(judged.spread(1000)) == 48


def test_images_have_the_size_and_channels_of_the_encoder(tmp_path: Path) -> None:
    image = judged_pictures(tmp_path).opened(image_size=32, window="lung", channels=3)[0]
    assert image.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("options", "folds", "error", "words"),
    [
        ({"classes": ("only",)}, 3, DatasetError, "one class 'only'"),
        ({"patients": 8}, 3, DatasetError, "10 images of 5 patients .* at least 24 images of 6 patients"),
        ({"patients": 20}, 9, SplitError, "9 folds cannot be made by patient: class 'ill' has 6 patients"),
    ],
)
def test_what_cannot_be_judged_is_refused(options: dict, folds: int, error: type, words: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=words):
        open_judged_images(write_pictures(tmp_path, **options), folds=folds)
