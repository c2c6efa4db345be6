import pytest

from helpers.small_study import TINY, small_plan
from monai_ext.errors import StudyError
from monai_ext.study.plan import parse_plan
from monai_ext.study.preparation import prepare
from monai_ext.study.records import StudyFolder


def test_everything_that_is_missing_is_listed_before_anything_runs(data, tmp_path):
    content = small_plan(
        data, methods={"scratch": {}, "ours": {"file": "/no/encoder.pt"}, "SparK": {"bundle": "sparc"}}
    )
    content["tasks"]["other"] = {"bundle": "covid19_classification", "dataset_dir": "/no/data"}
    content["overrides"] = {**TINY, "epohcs": 3}
    with pytest.raises(StudyError) as refusal:
        prepare(parse_plan(content), StudyFolder(tmp_path))
    for part in ("/no/encoder.pt of ours is not there", "/no/data are not there", "no bundle 'sparc'", "'epochs'?"):
        assert part in str(refusal.value)
    assert not (tmp_path / "records").exists()


def test_more_folds_than_patients_are_refused(data, tmp_path):
    content = small_plan(data)
    content["tasks"]["pictures"]["splits"] = {"folds": 50, "test": "each_fold"}
    with pytest.raises(StudyError, match="at most 9 folds"):
        prepare(parse_plan(content), StudyFolder(tmp_path))


def test_a_fraction_that_leaves_a_class_empty_is_refused_with_the_smallest(data, tmp_path):
    with pytest.raises(StudyError, match=r"the smallest possible one is 0.084"):
        prepare(parse_plan(small_plan(data, fractions=[0.01])), StudyFolder(tmp_path))


def test_pretraining_data_with_test_images_are_refused(data, tmp_path):
    encoder = tmp_path / "encoder.pt"
    encoder.write_bytes(b"x")
    method = {"file": str(encoder), "pretraining_data": str(data / "images")}
    content = small_plan(data, methods={"scratch": {}, "ours": method})
    with pytest.raises(StudyError, match="36 of its test images are among the pre-training data"):
        prepare(parse_plan(content), StudyFolder(tmp_path / "study"))
