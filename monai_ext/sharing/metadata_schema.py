"""MONAI's schema of ``metadata.json``: a file that is named, or the copy in the cache folder, or fetched into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from monai_ext.data.public.downloading import download
from monai_ext.errors import BundleAuditError
from monai_ext.files import read_json
from monai_ext.locations import cache_folder

__all__ = ["fetch_schema", "kept_schema", "schema_problems"]

PUBLISHED = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/"
"""Where MONAI publishes its schemas; nothing is fetched from elsewhere."""
SHA256 = {"meta_schema_20240725.json": "d95c74c2915faef04ff6a2d6bd865da922bc8cd5afb4a0719b2dc6e1220528e7"}
_NAME = re.compile(r"meta_schema_\w+\.json")


def kept_schema(metadata: Mapping[str, Any]) -> Path | None:
    """The copy in the cache folder of the schema that ``metadata`` name; None where there is none."""
    name = _name(metadata)
    copy = cache_folder() / "monai" / name
    return copy if name and copy.is_file() else None


def fetch_schema(metadata: Mapping[str, Any]) -> Path:
    """Download the schema that ``metadata`` name into the cache folder, where it is not there yet.

    Raises:
        BundleAuditError: its address is not one of MONAI's.
        DatasetError: the server cannot be reached, or what it has is not the file that is known.
    """
    url, name = str(metadata.get("schema")), _name(metadata)
    if not name or not url.startswith(PUBLISHED):
        raise BundleAuditError(
            f"The schema {url} is not fetched: MONAI's are at {PUBLISHED}. Name a copy with --schema FILE."
        )
    target = cache_folder() / "monai" / name
    download(url, target, sha256=SHA256.get(name))
    return target


def schema_problems(metadata: Mapping[str, Any], schema: str | Path) -> list[str]:
    """What the schema in a file finds wrong; an empty list when it is satisfied.

    Raises:
        BundleAuditError: the file cannot be read, or is no schema.
    """
    import jsonschema

    try:
        content = read_json(schema)
        kind = jsonschema.validators.validator_for(content, default=jsonschema.Draft201909Validator)
        kind.check_schema(content)
    except (OSError, ValueError, jsonschema.SchemaError) as error:
        reason = str(error).splitlines()[0]
        raise BundleAuditError(
            f"{schema} is no JSON schema that can be read ({reason}). Name MONAI's file of metadata.json's schema."
        ) from error
    errors = kind(content).iter_errors(metadata)
    return [f"{'::'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]


def _name(metadata: Mapping[str, Any]) -> str:
    """The file's name; empty where the address is none of a schema of MONAI's."""
    name = urlsplit(str(metadata.get("schema", ""))).path.rpartition("/")[2]
    return name if _NAME.fullmatch(name) else ""
