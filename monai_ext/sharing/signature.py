"""Signatures in the OpenSSF model-signing format (a DSSE envelope in a Sigstore bundle), by elliptic-curve keys.

They are written by the reference implementation, and read here with nothing but ``cryptography``, so that a package can
be verified before anything of it is unpacked, and where the reference implementation is not installed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from monai_ext.errors import PackageError
from monai_ext.files import parse_json
from monai_ext.sharing.keys import check_private_key, public_key_text
from monai_ext.sharing.package_file import SIGNATURE, canonical_json

__all__ = ["Signature", "key_hint", "read_signature", "sign_files"]

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


@dataclass(frozen=True)
class Signature:
    """A signature that was read but not verified yet.

    Args:
        payload: what was signed.
        value: the signature itself.
        hint: SHA-256 of the public key that is to be used.
    """

    payload: bytes
    value: bytes
    hint: str

    def is_by(self, key: ec.EllipticCurvePublicKey) -> bool:
        """Whether the holder of a key signed exactly this payload."""
        encoded = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(self.payload), self.payload)
        try:
            key.verify(self.value, encoded, ec.ECDSA(_HASHES[key.curve.name]))
        except InvalidSignature:
            return False
        return True

    def digests(self) -> dict[str, str]:
        """SHA-256 of each file that was signed; to be asked only after :meth:`is_by`.

        Raises:
            PackageError: the statement is of a kind that says nothing about single files.
        """
        try:
            statement = parse_json(self.payload)
            predicate = statement["predicate"]
            serialization = predicate["serialization"]
            resources = predicate["resources"]
            kinds = (
                statement["_type"],
                statement["predicateType"],
                serialization["method"],
                serialization["hash_type"],
            )
            if kinds != (STATEMENT_TYPE, PREDICATE_TYPE, "files", "sha256"):
                raise ValueError(f"it is of the kind {kinds}")
            if not set(serialization.get("ignore_paths", [])) <= {SIGNATURE}:
                raise ValueError(f"it leaves out {serialization['ignore_paths']}")
            return {str(entry["name"]): str(entry["digest"]) for entry in resources}
        except (ValueError, KeyError, TypeError) as error:
            raise PackageError(
                f"What was signed is no list of all files with SHA-256 ({error}). Ask for a signature by `bundle sign`."
            ) from error


def key_hint(key: ec.EllipticCurvePublicKey) -> str:
    """How a signature says which key it is by."""
    return hashlib.sha256(public_key_text(key).encode()).hexdigest()


def read_signature(content: bytes, *, package: object) -> Signature:
    """Read a signature; every byte has to be as it is written here, or it is refused.

    Raises:
        PackageError: it is damaged, or of another kind.
    """
    try:
        document = parse_json(content)
        envelope = document["dsseEnvelope"]
        entries = envelope["signatures"]
        if (document["mediaType"], envelope["payloadType"], len(entries)) != (MEDIA_TYPE, PAYLOAD_TYPE, 1):
            raise ValueError("it is of another kind")
        hint = str(document["verificationMaterial"]["publicKey"]["hint"])
        payload, value = (base64.b64decode(text, validate=True) for text in (envelope["payload"], entries[0]["sig"]))
        if content != _as_bytes(payload, value, hint):
            raise ValueError("it has parts that no signature needs")
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise PackageError(
            f"The signature of {package}, {SIGNATURE}, was changed or is not by `bundle sign` ({error}): ask for the"
            " package again."
        ) from error
    return Signature(payload, value, hint)


def _as_bytes(payload: bytes, value: bytes, hint: str) -> bytes:
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": "", "sig": base64.b64encode(value).decode()}],
    }
    material: dict[str, Any] = {"publicKey": {"hint": hint}, "tlogEntries": []}
    return canonical_json({"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope})


def sign_files(files: Mapping[str, bytes], *, root: str, private_key: Path, passphrase: str | None = None) -> bytes:
    """Sign files of a bundle; returns the content of ``model.sig``.

    Args:
        files: content by path, without a signature.
        root: name of the bundle's folder, which the signature calls the model.
        private_key: as `bundle keys make` writes it.
        passphrase: of the key.

    Raises:
        PackageError: the key cannot be used, or the package model-signing is missing.
    """
    check_private_key(private_key)
    try:
        from model_signing import hashing, signing
    except ImportError as error:
        raise PackageError(f"Signing needs model-signing ({error}): pip install 'monai-ext[sharing]'.") from error
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / root
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        written = Path(temporary) / SIGNATURE
        hashed = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
        secret: Any = passphrase.encode() if passphrase else None  # announced as a text, and used as bytes
        try:
            signer = signing.Config().use_elliptic_key_signer(private_key=private_key, password=secret)
        except (ValueError, TypeError) as error:
            raise PackageError(
                f"The key {private_key} cannot be used: {error} Give its passphrase, or another key."
            ) from error
        signer.set_hashing_config(hashed).sign(folder, written)
        document = json.loads(written.read_bytes())
    envelope = document["dsseEnvelope"]
    payload, value = base64.b64decode(envelope["payload"]), base64.b64decode(envelope["signatures"][0]["sig"])
    return _as_bytes(payload, value, document["verificationMaterial"]["publicKey"]["hint"])
