import pytest

from monai_ext.errors import StudyError
from monai_ext.study.cells import Cell
from monai_ext.study.records import StudyFolder, write_record

CELL = Cell("probe", "scratch", "CT", "0.1", 0, 0, 0, {"seed": 0, "size": "0.1"})


@pytest.fixture
def path(tmp_path):
    return write_record(tmp_path, CELL, results={"metrics": {"auc": 0.5}}, measured={"seconds": 1.0})


def test_a_folder_belongs_to_one_study(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.adopt("one")
    folder.adopt("one")
    with pytest.raises(StudyError, match="that of the study 'one'"):
        folder.adopt("two")


def test_two_runners_do_not_share_a_folder(tmp_path):
    folder = StudyFolder(tmp_path)
    with folder.locked(), pytest.raises(StudyError, match="is being run by process"), StudyFolder(tmp_path).locked():
        pass
    with folder.locked():
        pass
