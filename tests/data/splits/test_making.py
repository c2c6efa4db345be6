"""Making splits: by patient, stratified, near duplicates together, official ones as published."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.medmnist_files import write_medmnist
from monai_ext.data.splits.items import SplitSource, open_split_source
from monai_ext.data.splits.making import make_splits, official_splits, read_near_duplicates
from monai_ext.errors import SplitError


def make_source(patients: int = 60, *, sites: int = 0, seed: int = 0) -> SplitSource:
    """Patients with one to five items of one class; every third patient is of class y; sites in turn."""
    counts = np.random.default_rng(seed).integers(1, 6, patients)
    owner = [patient for patient, count in enumerate(counts) for _ in range(count)]
    return SplitSource(
        kind="labels table",
        name="labels.csv",
        content_hash="abc",
        ids=tuple(f"{number:04d}.png" for number in range(len(owner))),
        labels=tuple("y" if patient % 3 == 0 else "x" for patient in owner),
        groups=tuple(f"p{patient}" for patient in owner),
        grouped_by="patient_id",
        sites=tuple(f"s{patient % sites}" for patient in owner) if sites else (),
    )


@settings(max_examples=8, deadline=None)
@given(
    patients=st.integers(30, 60),
    seed=st.integers(0, 1000),
    test=st.sampled_from([0.0, 0.1, 0.2]),
    validation=st.sampled_from([0.1, 0.15, 0.25]),
)
def test_no_patient_is_in_two_sections_and_every_item_in_one(
    patients: int, seed: int, test: float, validation: float
) -> None:
    source = make_source(patients, seed=seed)
    (fold,) = make_splits(source, test_fraction=test, validation_fraction=validation, seed=seed).folds
    sections = [fold.training, fold.validation, fold.test]
    assert sorted(item for section in sections for item in section) == list(source.ids)
    groups = [{source.groups[place] for place in source.positions(section)} for section in sections]
    assert sum(map(len, groups)) == len(set(source.groups))


def test_classes_and_sites_are_in_the_same_proportion_everywhere() -> None:
    source = make_source(300, sites=2)
    (fold,) = make_splits(source, test_fraction=0.2, validation_fraction=0.2).folds
    strata = list(zip(source.labels, source.sites, strict=True))
    whole = Counter(strata)
    for section, share in ((fold.training, 0.6), (fold.validation, 0.2), (fold.test, 0.2)):
        counts = Counter(strata[place] for place in source.positions(section))
        for stratum, count in whole.items():
            assert counts[stratum] == pytest.approx(share * count, rel=0.1)


def test_every_item_is_in_the_validation_section_of_one_fold_and_the_test_items_in_none() -> None:
    source = make_source()
    splits = make_splits(source, test_fraction=0.2, folds=4)
    validation = [item for fold in splits.folds for item in fold.validation]
    test = splits.folds[0].test
    assert sorted([*validation, *test]) == list(source.ids)
    assert all(fold.test == test for fold in splits.folds)
    for fold in splits.folds:
        assert set(fold.training) == set(source.ids) - set(fold.validation) - set(test)


def test_the_seed_decides() -> None:
    source = make_source()
    first, again, other = (make_splits(source, validation_fraction=0.2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.folds != other.folds


def test_near_duplicates_of_different_patients_stay_together() -> None:
    source = make_source()
    firsts = [source.ids[source.groups.index(f"p{patient}")] for patient in range(0, 60, 3)]
    pairs = list(itertools.pairwise(firsts))[:4]
    for seed in range(5):
        (fold,) = make_splits(source, validation_fraction=0.2, seed=seed, near_duplicates=pairs).folds
        inside = [item in fold.validation for item in firsts[:5]]
        assert len(set(inside)) == 1


def test_reductions_are_made_of_every_fold() -> None:
    splits = make_splits(make_source(), folds=3, reduce_fractions=[0.5], reduce_per_class=[4])
    for fold, counts in zip(splits.folds, splits.counts, strict=True):
        assert set(fold.reductions) == {"0.5", "4_per_class"}
        assert counts["4_per_class"] == {"x": 4, "y": 4}


def test_another_reduction_seed_leaves_the_sections_as_they_are() -> None:
    first, other = (
        make_splits(make_source(), validation_fraction=0.2, reduce_fractions=[0.3], reduction_seed=seed).folds[0]
        for seed in (0, 1)
    )
    assert first.training == other.training
    assert first.reductions != other.reductions


def test_the_official_split_is_kept_and_near_duplicates_across_it_are_listed() -> None:
    source = replace(make_source(4), official=())
    section_of = {"p0": "training", "p1": "validation", "p2": "test", "p3": "test"}
    source = replace(source, official=tuple(section_of[group] for group in source.groups))
    items = {group: source.ids[source.groups.index(group)] for group in section_of}
    pairs = [(items["p2"], items["p0"]), (items["p1"], items["p3"]), (items["p2"], items["p3"])]
    (fold,) = official_splits(source, near_duplicates=pairs).folds
    assert {source.official[place] for place in source.positions(fold.test)} == {"test"}
    assert fold.near_duplicates == {"test": (items["p2"], items["p3"])}


def test_an_official_split_with_a_patient_on_two_sides_is_refused() -> None:
    source = make_source(3)
    official = ["training"] * len(source.ids)
    official[0] = "test"
    source = replace(source, groups=("p0",) * len(source.ids), official=tuple(official))
    with pytest.raises(SplitError, match="1 of the same patient_id in training and test"):
        official_splits(source)


def test_medmnist_keeps_its_official_split_and_is_not_split_again(tmp_path: Path) -> None:
    source = open_split_source(write_medmnist(tmp_path / "organsmnist.npz"))
    splits = official_splits(source, reduce_per_class=[2])
    assert splits.counts[0]["test"] == {"0": 2, "1": 2}
    assert splits.folds[0].reductions["2_per_class"][0].startswith("train/")
    with pytest.raises(SplitError, match=r"is not split again, .* use its official split"):
        make_splits(source, folds=2)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "Nothing was asked for"),
        ({"test_fraction": 0.6, "validation_fraction": 0.4}, "leave something for training"),
        ({"test_fraction": -0.1}, "at least 0"),
        ({"folds": 1}, "at least 2 folds"),
        ({"folds": 3, "validation_fraction": 0.2}, "no validation fraction"),
        ({"folds": 30}, r"class 'y' has 20 patients \(or groups\). Choose at most 20 folds"),
        ({"validation_fraction": 0.01}, "0.01 cannot be held out by patient: class 'y' has 20 patients"),
        ({"validation_fraction": 0.2, "reduce_fractions": [1.5]}, r"within \(0, 1\), but 1.5"),
        ({"validation_fraction": 0.2, "reduce_per_class": [500]}, "500 items of every class cannot be taken"),
        ({"validation_fraction": 0.2, "near_duplicates": [("0000.png", "z.png")]}, "has no items 'z.png'"),
    ],
)
def test_what_cannot_be_is_refused(request_: dict[str, object], message: str) -> None:
    with pytest.raises(SplitError, match=message):
        make_splits(make_source(), **request_)


def test_a_source_without_an_official_split_has_none() -> None:
    with pytest.raises(SplitError, match="has no official split"):
        official_splits(make_source())


def test_near_duplicates_are_read_from_the_first_two_columns(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("file_a,file_b,inliers\n0000.png,0003.png,200\n")
    assert read_near_duplicates(tmp_path / "pairs.csv", make_source()) == [("0000.png", "0003.png")]
    (tmp_path / "pairs.csv").write_text("file_a\n0000.png\n")
    with pytest.raises(SplitError, match="Two columns with ids are needed"):
        read_near_duplicates(tmp_path / "pairs.csv", make_source())


def test_covid_ct_comes_out_as_published(shared_data: Path) -> None:
    source = open_split_source(shared_data / "covid_ct" / "labels.csv")
    pairs = read_near_duplicates(shared_data / "covid_ct" / "near_duplicates.csv", source)
    splits = official_splits(source, near_duplicates=pairs)
    assert splits.counts[0]["training"] == {"COVID": 191, "NonCOVID": 234}
    assert splits.counts[0]["validation"] == {"COVID": 60, "NonCOVID": 58}
    assert splits.counts[0]["test"] == {"COVID": 98, "NonCOVID": 105}
    assert len(splits.folds[0].near_duplicates["test"]) == 8


def test_each_item_is_tested_once_by_a_fold_that_neither_trains_nor_chooses_on_it() -> None:
    source = make_source()
    splits = make_splits(source, folds=4, test_each_fold=True, seed=1)
    tested = [item for fold in splits.folds for item in fold.test]
    assert sorted(tested) == sorted(source.ids)
    for fold in splits.folds:
        assert sorted(fold.training + fold.validation + fold.test) == sorted(source.ids)
        assert fold.validation


def test_testing_in_each_of_two_folds_leaves_nothing_to_choose_by() -> None:
    with pytest.raises(SplitError, match="at least 3 folds"):
        make_splits(make_source(), folds=2, test_each_fold=True)
