"""Where MONAI's schema comes from, and what is said when it comes from nowhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from helpers.bundle_files import BUNDLES, REPOSITORY
from monai_ext.cli import main
from monai_ext.errors import BundleAuditError, DatasetError
from monai_ext.locations import CACHE_VARIABLE
from monai_ext.sharing import metadata_schema
from monai_ext.sharing.check import check_bundle
from monai_ext.sharing.metadata_schema import PUBLISHED, SHA256, fetch_schema, kept_schema, schema_problems

NAME = "meta_schema_20240725.json"
MONAIS = REPOSITORY.parent / "shared" / "monai" / NAME
METADATA = {"schema": f"{PUBLISHED}0.8.1/{NAME}", "version": "0.1.0"}
SCHEMA = {"$schema": "https://json-schema.org/draft/2019-09/schema", "required": ["version"]}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "monai"


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    file = tmp_path / NAME
    file.write_text(json.dumps(SCHEMA))
    return file


def _row(bundle: Path, **options: object) -> tuple[str, str]:
    return next((row.status, row.detail) for row in check_bundle(bundle, **options) if row.check == "schema file")


def test_a_schema_is_taken_from_the_file_that_is_named_else_from_the_cache(cache: Path, schema: Path) -> None:
    assert kept_schema(METADATA) is None
    status, detail = _row(BUNDLES[0])
    assert (status, PUBLISHED in detail, "--schema FILE" in detail) == ("skipped", True, True)
    assert _row(BUNDLES[0], schema=schema) == ("ok", NAME)
    cache.mkdir(parents=True)
    (cache / NAME).write_text(json.dumps(SCHEMA | {"required": ["no_such_entry"]}))
    assert _row(BUNDLES[0]) == ("failed", ": 'no_such_entry' is a required property")
    assert _row(BUNDLES[0], schema=schema) == ("ok", NAME)


def test_a_schema_is_fetched_from_monai_once_and_has_to_be_the_one_that_is_known(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def download(url: str, target: Path, *, sha256: str | None) -> None:
        asked.append((url, sha256))
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(SCHEMA))

    monkeypatch.setattr(metadata_schema, "download", download)
    assert fetch_schema(METADATA) == kept_schema(METADATA) == cache / NAME
    assert asked == [(METADATA["schema"], SHA256[NAME])]


@pytest.mark.parametrize("address", ["https://example.org/meta_schema_1.json", f"{PUBLISHED}../../evil.json", None])
def test_nothing_is_fetched_from_elsewhere(cache: Path, address: str | None) -> None:
    with pytest.raises(BundleAuditError, match=r"is not fetched: MONAI's are at .* Name a copy with --schema FILE"):
        fetch_schema({"schema": address})


def test_without_a_network_the_command_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(url: str, target: Path, *, sha256: str | None) -> None:
        raise DatasetError(f"{url} cannot be reached.")

    monkeypatch.setattr(metadata_schema, "download", download)
    assert main(["bundle", "check", "--fetch-schema", str(BUNDLES[0])]) != 0
    assert "cannot be reached" in capsys.readouterr().err


def test_what_is_no_schema_is_refused(tmp_path: Path) -> None:
    for text in ("no JSON", '{"type": 3}'):
        (tmp_path / "schema.json").write_text(text)
        with pytest.raises(BundleAuditError, match="is no JSON schema that can be read"):
            schema_problems(METADATA, tmp_path / "schema.json")


def test_the_checksum_is_that_of_monais_file() -> None:
    if not MONAIS.is_file():
        pytest.skip("MONAI's metadata schema is not there (it is not part of the project)")
    assert hashlib.sha256(MONAIS.read_bytes()).hexdigest() == SHA256[NAME]
