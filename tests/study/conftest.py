"""Pictures that small studies are made of."""

from pathlib import Path

import pytest

from helpers.small_study import write_study_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study_pictures(tmp_path_factory.mktemp("data") / "pictures")
