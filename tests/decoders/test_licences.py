"""Decoders come with the project, and none is under a licence that would bind it."""

from __future__ import annotations

import configparser
import importlib.metadata
import re
from pathlib import Path

import pytest

DECODERS = ("pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls", "python-gdcm", "SimpleITK", "pydicom", "nibabel")
PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache)\b")


@pytest.fixture(scope="module")
def required(repository: Path) -> set[str]:
    config = configparser.ConfigParser()
    config.read(repository / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    return {re.split(r"[ <>=\[]", line)[0] for line in lines if line and not line.startswith("#")}


def test_every_decoder_is_installed_with_the_project(required: set[str]) -> None:
    assert set(DECODERS) <= required


@pytest.mark.parametrize("name", DECODERS)
def test_its_licence_is_permissive(name: str) -> None:
    about = importlib.metadata.metadata(name)
    said = [about.get("License-Expression") or "", *(about.get_all("Classifier") or []), (about.get("License") or "")]
    licences = " ".join(text for text in said if "::" not in text or text.startswith("License"))
    assert PERMISSIVE.search(licences)
    assert "GPL" not in licences


def test_the_gpl_decoder_of_pylibjpeg_is_not_pulled_in(required: set[str], repository: Path) -> None:
    assert "pylibjpeg-libjpeg" not in required
    assert "pylibjpeg-libjpeg" not in (repository / "constraints.txt").read_text()
