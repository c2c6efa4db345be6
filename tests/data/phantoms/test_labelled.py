"""The embedded labelled sample: phantoms with classes, by patient, in Hounsfield units."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import monai_ext.data.phantoms.labelled as labelled_module
from monai_ext.data import open_labelled_images
from monai_ext.data.phantoms.labelled import LABELLED_SETS, LabelledSet, embedded_labelled_sample
from monai_ext.data.store.reader import SliceStore
from monai_ext.errors import DatasetError


@pytest.fixture(scope="module")
def small_sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The first patients of the sets, and a cache of their own."""
    patch = pytest.MonkeyPatch()
    patch.setattr(labelled_module, "_SIZE", 32)
    patch.setattr(labelled_module, "_CROP", 32)
    sets = tuple(
        LabelledSet(whole.name, whole.labels, lambda make=whole.make, count=count: islice(make(), count))
        for whole, count in zip(LABELLED_SETS, (10, 2, 11), strict=True)
    )
    patch.setattr(labelled_module, "LABELLED_SETS", sets)
    yield tmp_path_factory.mktemp("cache")
    patch.undo()


@pytest.fixture
def small(small_sets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set for each test, after the cache that all tests share: what is small must not get there."""
    monkeypatch.setenv("MONAI_EXT_CACHE", str(small_sets))


@pytest.mark.usefixtures("small")
def test_a_classification_bundle_opens_it_without_a_dataset_dir(caplog: pytest.LogCaptureFixture) -> None:
    sections = [
        open_labelled_images(None, class_names=["NonCOVID", "COVID"], section=section, window="lung")
        for section in ("training", "validation", "test")
    ]
    assert "No dataset_dir is given: these are the embedded labelled phantoms" in caplog.text
    assert sum(len(images) for images in sections) == 20
    assert not set(sections[0].groups) & set(sections[2].groups)


@pytest.mark.usefixtures("small")
def test_every_organ_has_its_class_and_patients_have_several() -> None:
    store = SliceStore(embedded_labelled_sample([str(number) for number in range(11)]))
    index = store.columns(["label", "patient_id"])
    assert set(index.column("label").to_pylist()) == {str(number) for number in range(11)}
    assert len(set(index.column("patient_id").to_pylist())) == 3


@pytest.mark.usefixtures("small")
def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = (embedded_labelled_sample(["0", "1"], cache=tmp_path / name) for name in "ab")
    assert SliceStore(first).content_hash == SliceStore(second).content_hash


def test_left_and_right_are_the_patients_own() -> None:
    pelvis = labelled_module.Pelvis(np.random.default_rng(0))
    centers = labelled_module._organ_centers(pelvis)
    assert centers["femur-left"][0] == -centers["femur-right"][0] > 0


def test_other_labels_are_refused_with_those_there_are() -> None:
    with pytest.raises(DatasetError, match=r"no phantoms with the labels cat, dog.*NonCOVID, COVID"):
        embedded_labelled_sample(["cat", "dog"])
