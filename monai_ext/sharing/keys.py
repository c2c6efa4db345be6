"""Keys on disk: elliptic-curve keys, as the OpenSSF model-signing format takes them, and their fingerprints."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from monai_ext.errors import PackageError
from monai_ext.files import read_regular

__all__ = [
    "check_private_key",
    "fingerprint",
    "make_keys",
    "open_public_key",
    "public_key_text",
    "read_public_key",
]

_LARGEST_KEY_FILE = 2**16
_RIGHTS = 0o600
_GROUP = 4


def make_keys(path: Path, *, passphrase: str | None = None) -> tuple[Path, Path]:
    """Make a pair of keys: ``PATH.key``, readable by its owner alone, and ``PATH.pub``, to be handed out.

    Args:
        path: without an ending.
        passphrase: that the private key is encrypted with.

    Raises:
        PackageError: a file of that name is there, or cannot be written.
    """
    private, public = path.with_name(path.name + ".key"), path.with_name(path.name + ".pub")
    key = ec.generate_private_key(ec.SECP256R1())
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    try:
        private.parent.mkdir(parents=True, exist_ok=True)
        _write_new(private, text, _RIGHTS)
        _write_new(public, public_key_text(key.public_key()).encode(), 0o644)
    except FileExistsError as error:
        raise PackageError(f"Making keys: {error.filename} is there already. Choose another name.") from error
    except OSError as error:
        raise PackageError(
            f"Making keys in {private.parent}: {error.strerror or error}. Choose another folder."
        ) from error
    return private, public


def _write_new(path: Path, content: bytes, rights: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rights), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def public_key_text(key: ec.EllipticCurvePublicKey) -> str:
    """The key as PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def open_public_key(path: str | Path) -> ec.EllipticCurvePublicKey:
    """Read the file of a public key.

    Raises:
        PackageError: it cannot be read, or holds none that can be used.
    """
    try:
        content = read_regular(path, most=_LARGEST_KEY_FILE)
    except OSError as error:
        raise PackageError(f"Reading the public key {path}: {error.strerror or error}.") from error
    return read_public_key(content, source=path)


def read_public_key(text: str | bytes, *, source: object) -> ec.EllipticCurvePublicKey:
    """Read a public key.

    Args:
        text: as PEM.
        source: named in the error.

    Raises:
        PackageError: it is none of those that can be used.
    """
    try:
        key = serialization.load_pem_public_key(text if isinstance(text, bytes) else text.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise PackageError(
            f"{source} is no public key: expected is a file that ends in .pub, as `bundle keys make` writes it."
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
        raise PackageError(f"{source} is a public key of another kind; accepted are NIST P-256, P-384 and P-521.")
    return key


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """SHA-256 of the key in groups of four digits, to be read out and compared."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    digits = hashlib.sha256(key.public_bytes(serialization.Encoding.DER, form)).hexdigest()
    return " ".join(digits[start : start + _GROUP] for start in range(0, len(digits), _GROUP))


def check_private_key(path: Path) -> None:
    """Make sure that a private key is there, and that nobody else can read it.

    Raises:
        PackageError: it is not so.
    """
    if not path.is_file():
        raise PackageError(f"There is no key {path}. Make one with `bundle keys make NAME`.")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise PackageError(
            f"The private key {path} can be read by others, who could sign in your name: chmod 600 {path}; make new"
            " keys if others have had access."
        )
