"""Importing MinkowskiEngine: what it expects is lent, what it leaves behind is taken back, what fails is explained."""

from __future__ import annotations

import collections
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from monai_ext.networks import SparK, SparKDecoder, build_encoder
from monai_ext.networks.spark.minkowski_engine import minkowski_engine

LIKE_THE_RELEASE = """
import os, sys, warnings
from collections import Sequence
sys.path.append(os.path.dirname(__file__))
os.environ.setdefault("OMP_NUM_THREADS", "16")
from diagnostics import print_diagnostics
warnings.warn("compiled with CPU_ONLY flag")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package by the name of MinkowskiEngine, in the place of the real one if there is one."""
    folder = tmp_path / "MinkowskiEngine"
    folder.mkdir()
    (folder / "diagnostics.py").write_text("def print_diagnostics(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    real = sys.modules.pop("MinkowskiEngine", None)
    minkowski_engine.cache_clear()
    yield folder
    sys.modules.pop("MinkowskiEngine", None)
    if real is not None:
        sys.modules["MinkowskiEngine"] = real
    minkowski_engine.cache_clear()


def test_the_import_leaves_the_process_as_it_was(
    package: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    (package / "__init__.py").write_text(LIKE_THE_RELEASE)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    own = ModuleType("diagnostics")
    monkeypatch.setitem(sys.modules, "diagnostics", own)
    path = list(sys.path)
    assert minkowski_engine().__name__ == "MinkowskiEngine"
    assert minkowski_engine() is sys.modules["MinkowskiEngine"]
    assert not hasattr(collections, "Sequence")
    assert sys.path == path
    assert sys.modules["diagnostics"] is own
    assert "OMP_NUM_THREADS" not in os.environ
    assert not recwarn.list


def test_a_missing_library_is_said_when_the_model_is_built_with_the_command_that_installs_it(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"not installed.*bash scripts/install_minkowski.sh.*active_blocks"):
        SparK(build_encoder("resnet18"), SparKDecoder(32), backend="minkowski")


def test_a_build_for_another_torch_is_explained_and_the_process_left_alone(package: Path) -> None:
    (package / "__init__.py").write_text(LIKE_THE_RELEASE + "raise ImportError('undefined symbol: _ZN3c10')\n")
    path = list(sys.path)
    for _ in range(2):  # the failure is not remembered as a success
        with pytest.raises(ImportError, match=r"undefined symbol: _ZN3c10.*another version of torch.*--rebuild"):
            minkowski_engine()
    assert not hasattr(collections, "Sequence")
    assert sys.path == path
