"""Sign a package, and verify one: that it is whole, by whom it is, and what was changed when it is not."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_ext.errors import PackageError
from monai_ext.foreign_text import listed
from monai_ext.sharing.bundle_files import BundleFiles
from monai_ext.sharing.keys import fingerprint
from monai_ext.sharing.manifest import Manifest, changes, digests_of, read_manifest, without_own_files
from monai_ext.sharing.package_file import MANIFEST, SIGNATURE, first_odd_byte, open_package, write_package
from monai_ext.sharing.signature import key_hint, read_signature, sign_files
from monai_ext.sharing.trust import TrustedKey

__all__ = ["Verification", "sign_package", "verify_package"]


@dataclass(frozen=True)
class Verification:
    """What became of verifying a package.

    Args:
        bundle: its files.
        manifest: what it says about itself.
        digests: SHA-256 of each file as found.
        signer: name of who signed it, when that is known.
        fingerprint: of the signer's key.
        problems: what is wrong, as sentences; none when the package is as it was signed, by somebody who is trusted.
    """

    bundle: BundleFiles
    manifest: Manifest
    digests: dict[str, str]
    signer: str | None = None
    fingerprint: str | None = None
    problems: list[str] = field(default_factory=list)


def sign_package(path: Path, *, private_key: Path, output: Path | None = None, passphrase: str | None = None) -> Path:
    """Put a signature into a package; an earlier one is replaced.

    Args:
        path: of the package.
        private_key: as `bundle keys make` writes it.
        output: where to write the signed package; in the place of the unsigned one when omitted.
        passphrase: of the key.

    Raises:
        PackageError: it is no package, was changed since it was packed, or the key cannot be used.
    """
    bundle = open_package(path)
    files = {file.name: file.read() for file in bundle if file.name != SIGNATURE}
    manifest = read_manifest(files[MANIFEST], package=path)
    different = changes(manifest.files, without_own_files(digests_of(files)))
    if different:
        raise PackageError(
            f"Signing {path}: since it was packed, {listed(different, separator='; ')}. Pack it again before you sign."
        )
    files[SIGNATURE] = sign_files(files, root=bundle.root, private_key=private_key, passphrase=passphrase)
    target = output or path
    write_package(target, files, root=bundle.root)
    return target


def verify_package(
    path: str | Path, *, trusted: Sequence[TrustedKey], today: datetime.date | None = None
) -> Verification:
    """Verify a package without unpacking it.

    Args:
        path: of the package.
        trusted: keys that count.
        today: the date by which they have or have not expired.

    Returns:
        What was found; ``problems`` is empty only if a trusted key signed exactly these bytes.

    Raises:
        PackageError: it is no package, is damaged, newer, or must not be unpacked at all.
    """
    bundle = open_package(path)
    files = {file.name: file.read() for file in bundle}
    digests = digests_of(files)
    manifest = read_manifest(files[MANIFEST], package=path)
    problems = changes(manifest.files, without_own_files(digests))
    found = Verification(bundle, manifest, digests, problems=problems)
    if SIGNATURE not in files:
        problems.append("it is not signed: nothing says who packed it")
        return found
    found = _with_signature(found, files[SIGNATURE], trusted, today or datetime.date.today())
    odd = first_odd_byte(bundle) if Path(path).is_file() else None
    if odd is not None and not found.problems:
        found.problems.append(f"byte {odd} of the zip was changed: it is not as `bundle sign` wrote it")
    return found


def _with_signature(
    found: Verification, content: bytes, trusted: Sequence[TrustedKey], today: datetime.date
) -> Verification:
    problems = found.problems
    try:
        signature = read_signature(content, package=found.bundle.path)
    except PackageError as error:
        problems.append(str(error))
        return found
    owner = next((key for key in trusted if key_hint(key.key) == signature.hint), None)
    if owner is None:
        names = listed(key.name for key in trusted) or "nobody yet"
        problems.append(
            f"it is signed with a key that is not trusted here (key hint {signature.hint[:16]}...); trusted: {names}."
            " Add the sender's key with `bundle keys trust`, after comparing fingerprints on the phone"
        )
        return found
    if not signature.is_by(owner.key):
        problems.append(f"{SIGNATURE} was changed: it names the key of {owner.name}, who did not sign this")
        return found
    if owner.expires is not None and owner.expires < today:
        problems.append(f"the trust in the key of {owner.name} expired on {owner.expires}: ask for the key of today")
    signed = changes(signature.digests(), found.digests)
    problems += [problem for problem in signed if problem not in problems]
    return Verification(found.bundle, found.manifest, found.digests, owner.name, fingerprint(owner.key), problems)
