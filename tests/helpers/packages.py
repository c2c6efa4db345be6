"""Small packages as `bundle pack` writes them, and keys to sign them with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from helpers.hostile_bundles import honest_files
from monai_ext.sharing.keys import make_keys, public_key_text, read_public_key
from monai_ext.sharing.manifest import Manifest, digests_of
from monai_ext.sharing.package_file import MANIFEST, write_package
from monai_ext.sharing.trust import TrustedKey


def write_small_package(path: Path, files: Mapping[str, bytes] | None = None, *, root: str = "small") -> Path:
    """An unsigned package of a bundle that passes the audit."""
    content = honest_files() if files is None else dict(files)
    manifest = Manifest(root, "0.1.0", digests_of(content), {"mlflow_run_id": None})
    write_package(path, content | {MANIFEST: manifest.to_bytes()}, root=root)
    return path


def make_trusted_key(folder: Path, name: str) -> tuple[Path, TrustedKey]:
    """A private key and the trust in it."""
    private, public = make_keys(folder / name)
    text = public_key_text(read_public_key(public.read_bytes(), source=public))
    return private, TrustedKey(name, text)
