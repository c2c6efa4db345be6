"""Trivial predictors on a split: they find what labels leak, and nothing where there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.leaking_pictures import make_data
from monai_ext.checks.shortcuts import Shortcut, measure_shortcuts
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.splits.making import make_splits
from monai_ext.metrics import Estimate

OPTIONS = {"n_bootstrap": 20}


def aucs(results: list[Shortcut]) -> dict[str, float]:
    return {result.name: result.evaluation.metrics["auc"].value for result in results}


@pytest.mark.parametrize(("leak", "finder"), [("size", "image size"), ("brightness", "gray levels")])
def test_what_leaks_is_found_by_the_predictor_that_looks_at_it(tmp_path: Path, leak: str, finder: str) -> None:
    results = measure_shortcuts(make_data(tmp_path, leak=leak), **OPTIONS)
    found = aucs(results)
    assert found["majority class"] == 0.5
    assert found[finder] == found["gray levels and image size"] == 1
    blind = ({"image size", "gray levels"} - {finder}).pop()
    assert found[blind] < 0.9
    assert (results[0].fitted_on, results[0].judged_on) == ("training and validation", "test")
    assert results[0].without_near_duplicates is None
    assert isinstance(results[1].evaluation.metrics["auc"], Estimate)
    assert results[1].evaluation.resamples == 20


def test_predictions_of_all_folds_are_judged_together(tmp_path: Path) -> None:
    table = make_data(tmp_path, leak="brightness", published=False)
    make_splits(open_split_source(table), folds=3).save(tmp_path / "splits.json")
    results = measure_shortcuts(table, splits=tmp_path / "splits.json", **OPTIONS)
    assert len(results[0].evaluation.predictions.labels) == 60
    assert (results[0].fitted_on, results[0].judged_on) == ("training", "validation")
    assert aucs(results)["gray levels"] == 1


@pytest.mark.parametrize(("request_", "judged"), [({"test_each_fold": True}, 60), ({"test_fraction": 0.2}, 12)])
def test_every_test_section_is_judged_once(tmp_path: Path, request_: dict, judged: int) -> None:
    table = make_data(tmp_path, leak="brightness", published=False)
    make_splits(open_split_source(table), folds=3, **request_).save(tmp_path / "splits.json")
    results = measure_shortcuts(table, splits=tmp_path / "splits.json", **OPTIONS)
    assert len(results[0].evaluation.predictions.labels) == judged
    assert results[0].judged_on == "test"


def test_images_that_resemble_one_that_was_fitted_on_are_left_out_beside(tmp_path: Path) -> None:
    results = measure_shortcuts(make_data(tmp_path, leak="size", duplicates=True), **OPTIONS)
    rest = results[0].without_near_duplicates
    assert rest is not None
    assert len(rest.predictions.labels) == len(results[0].evaluation.predictions.labels) - 1


def test_the_positive_class_can_be_named(tmp_path: Path) -> None:
    table = make_data(tmp_path, leak="size")
    assert measure_shortcuts(table, **OPTIONS)[0].evaluation.predictions.positive == 1
    assert measure_shortcuts(table, positive_class="a", **OPTIONS)[0].evaluation.predictions.positive == 0
    with pytest.raises(ValueError, match="positive_class is 'a' or 'b'; received 'c'"):
        measure_shortcuts(table, positive_class="c", **OPTIONS)


def test_real_head_ct_leaks_by_its_sizes(shared_data: Path, tmp_path: Path) -> None:
    table = shared_data / "head_ct" / "labels.csv"
    source = open_split_source(table, group_column=None)
    make_splits(source, folds=5).save(tmp_path / "splits.json")
    found = aucs(measure_shortcuts(table, splits=tmp_path / "splits.json", n_bootstrap=0))
    assert found["gray levels and image size"] == pytest.approx(0.87, abs=0.03)
