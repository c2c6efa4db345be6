"""The manifest of a package: what lies in it, of which model it is, and with what it was made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_ext.errors import PackageError
from monai_ext.files import parse_json
from monai_ext.sharing.package_file import MANIFEST, SIGNATURE, canonical_json

__all__ = ["FORMAT", "FORMAT_VERSION", "Manifest", "changes", "digests_of", "read_manifest", "without_own_files"]

FORMAT = "monai_ext bundle package"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Manifest:
    """What a package says about itself.

    Args:
        bundle: name of the bundle.
        bundle_version: of its metadata.
        files: SHA-256 of every file but the manifest and the signature.
        about: plain values: versions of the libraries, MLflow run, fingerprint of the training data.
    """

    bundle: str
    bundle_version: str
    files: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """As the file ``manifest.json``."""
        head = {"format": FORMAT, "format_version": FORMAT_VERSION}
        return canonical_json(head | vars(self))


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of each file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def read_manifest(content: bytes, *, package: object) -> Manifest:
    """Read a manifest.

    Raises:
        PackageError: it is damaged, none, or of a newer version.
    """
    try:
        fields = parse_json(content)
        if fields["format"] != FORMAT:
            raise ValueError(f"its format is {fields['format']!r}")
        if fields["format_version"] > FORMAT_VERSION:
            raise PackageError(
                f"{package} was packed by a newer version (format {fields['format_version']}, this one reads up to"
                f" {FORMAT_VERSION}): install the version of this project that its sender has."
            )
        files = {str(name): str(digest) for name, digest in fields["files"].items()}
        return Manifest(str(fields["bundle"]), str(fields["bundle_version"]), files, dict(fields["about"]))
    except PackageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackageError(
            f"The manifest of {package} cannot be read ({error}): the package is damaged or none. Copy it again."
        ) from error


def changes(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """What was changed, added and removed, as sentences, each naming the file; the manifest and signature aside."""
    names = sorted((expected.keys() | found.keys()) - {SIGNATURE})
    fields = []
    for name in names:
        if name not in found:
            fields.append(f"{name} was removed")
        elif name not in expected:
            fields.append(f"{name} was added")
        elif expected[name] != found[name]:
            fields.append(f"{name} was changed")
    return fields


def without_own_files(digests: Mapping[str, str]) -> dict[str, str]:
    """Without the manifest and the signature, which a manifest cannot list."""
    return {name: digest for name, digest in digests.items() if name not in (MANIFEST, SIGNATURE)}
