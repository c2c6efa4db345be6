"""Where files that can be made again are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from monai_ext.data.cache_folder import cache_folder


def test_the_environment_variable_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONAI_EXT_CACHE", "~/somewhere")
    assert cache_folder() == Path.home() / "somewhere"


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "base/monai_ext"),
        ("linux", None, "home/.cache/monai_ext"),
        ("darwin", None, "home/Library/Caches/monai_ext"),
        ("win32", "LOCALAPPDATA", "base/monai_ext"),
    ],
)
def test_each_platform_has_its_place(
    monkeypatch: pytest.MonkeyPatch, platform: str, variable: str | None, expected: str
) -> None:
    monkeypatch.delenv("MONAI_EXT_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("home"))
    if variable:
        monkeypatch.setenv(variable, "base")
    assert cache_folder() == Path(expected)
