"""The rules agree with MONAI's schema, wherever its file is at hand."""

import copy
import json
from pathlib import Path

import pytest

from helpers.bundle_files import CLASSIFICATION, PRETRAINING, REPOSITORY, STANDALONE
from monai_ext.sharing.metadata_rules import changelog_problems, metadata_problems, version_problems

SCHEMA = REPOSITORY.parent / "shared" / "monai" / "meta_schema_20240725.json"
METADATA = json.loads((CLASSIFICATION[0] / "configs" / "metadata.json").read_text())


def _changed(place: str, value: object) -> dict:
    changed = copy.deepcopy(METADATA)
    *parents, last = place.split("::")
    inner = changed
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return changed


IMAGE = "network_data_format::inputs::image"
MUTATIONS = [
    *((name, None) for name in ("schema", "version", "numpy_version", "task", "authors", "network_data_format")),
    *(
        (f"{IMAGE}::{name}", None)
        for name in ("type", "format", "num_channels", "spatial_shape", "dtype", "value_range")
    ),
    *(
        ("version", 1),
        ("references", "one"),
        ("references", [1]),
        ("supported_apps", []),
        ("required_packages_version", []),
    ),
    *((f"{IMAGE}::num_channels", "1"), (f"{IMAGE}::num_channels", True), (f"{IMAGE}::spatial_shape", [1.5])),
    *((f"{IMAGE}::value_range", ["0", "1"]), (f"{IMAGE}::is_patch_data", "no"), ("network_data_format::outputs", None)),
    *(("network_data_format::inputs", []), ("changelog", "first"), ("description", None), ("copyright", 3)),
]


@pytest.mark.parametrize("bundle", [*PRETRAINING, *STANDALONE], ids=lambda path: path.name)
def test_our_bundles_satisfy_the_rules(bundle: Path) -> None:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata_problems(metadata) + version_problems(metadata) + changelog_problems(metadata) == []


@pytest.mark.parametrize(("place", "value"), MUTATIONS)
def test_a_mistake_is_named_as_the_schema_names_it(place: str, value: object) -> None:
    changed = _changed(place, value)
    problems = metadata_problems(changed)
    assert any(place.split("::")[-1] in problem for problem in problems)
    if SCHEMA.is_file():
        jsonschema = pytest.importorskip("jsonschema")
        assert not jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text())).is_valid(changed)


def test_versions_that_the_zoo_would_sort_wrongly_are_named() -> None:
    assert "older than" in version_problems({"version": "0.10.0"})[0]
    assert "form 1.2.3" in version_problems({"version": "0.1"})[0]
    assert changelog_problems({"version": "0.1.1", "changelog": {"0.1.0": "x"}}) == [
        "the changelog does not tell of version 0.1.1"
    ]
    assert "newer than" in changelog_problems({"version": "0.1.0", "changelog": {"0.1.0": "x", "0.2.0": "y"}})[0]
    assert changelog_problems({"version": "0.1.0"}) == ["there is no changelog"]
