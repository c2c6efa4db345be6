"""The trust file: whose signatures count here, under which name, and until when."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from monai_ext.errors import PackageError
from monai_ext.files import read_json, write_atomically
from monai_ext.foreign_text import listed
from monai_ext.sharing.keys import fingerprint, open_public_key, public_key_text, read_public_key

__all__ = ["TRUST_VARIABLE", "TrustedKey", "add_trusted_key", "read_trust", "remove_trusted_key", "trust_file"]

TRUST_VARIABLE = "MONAI_EXT_TRUST"
_FORMAT = "monai_ext trust 1"


@dataclass(frozen=True)
class TrustedKey:
    """A key, whose it is, and the last day on which its signatures count (None: without end)."""

    name: str
    public_key: str
    expires: datetime.date | None = None

    @property
    def key(self) -> ec.EllipticCurvePublicKey:
        """The key itself."""
        return read_public_key(self.public_key, source=f"The trusted key of {self.name}")


def trust_file() -> Path:
    """The file of the environment variable ``MONAI_EXT_TRUST``, else ``~/.config/monai_ext/trust.json``."""
    chosen = os.environ.get(TRUST_VARIABLE)
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return Path(chosen).expanduser() if chosen else config / "monai_ext" / "trust.json"


def read_trust(path: Path) -> list[TrustedKey]:
    """The trusted keys; none when there is no such file.

    Raises:
        PackageError: the file is damaged, or others may change it.
    """
    if not path.exists():
        return []
    if os.name == "posix" and path.stat().st_mode & 0o022:
        raise PackageError(
            f"The trust file {path} can be changed by others, so that it says nothing: chmod 600 {path}."
        )
    try:
        content = read_json(path)
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        return [_read_key(entry) for entry in content["keys"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PackageError(
            f"The trust file {path} cannot be read ({error}): mend it, or move it away and add the keys again with"
            " `bundle keys trust`."
        ) from error


def _read_key(entry: dict[str, str | None]) -> TrustedKey:
    expires = entry["expires"]
    day = None if expires is None else datetime.date.fromisoformat(expires)
    return TrustedKey(str(entry["name"]), str(entry["public_key"]), day)


def add_trusted_key(path: Path, name: str, public_key: Path, *, expires: datetime.date | None = None) -> TrustedKey:
    """Trust a key from now on, after its fingerprint has been compared with its owner's.

    Raises:
        PackageError: it is no key, the name belongs to another one, or the last day is past.
    """
    if expires is not None and expires < (today := datetime.date.today()):
        raise PackageError(
            f"Trusting {public_key} until {expires}: that day is past, so that no signature would count; today is"
            f" {today}. Give a later day, or none."
        )
    key = open_public_key(public_key)
    new = TrustedKey(name, public_key_text(key), expires)
    known = read_trust(path)
    for other in known:
        if other.name == name and other.public_key != new.public_key:
            raise PackageError(
                f"{name} is trusted with another key already ({fingerprint(other.key)}). If it was really replaced,"
                f" `bundle keys distrust {name}` first."
            )
    _write(path, [new] + [other for other in known if other.public_key != new.public_key])
    return new


def remove_trusted_key(path: Path, name: str) -> None:
    """Do not trust a key any longer.

    Raises:
        PackageError: there is none of that name.
    """
    known = read_trust(path)
    left = [key for key in known if key.name != name]
    if len(left) == len(known):
        raise PackageError(f"No key of {name} is trusted; trusted are {listed(key.name for key in known) or 'none'}.")
    _write(path, left)


def _write(path: Path, keys: Sequence[TrustedKey]) -> None:
    entries = [
        {"name": key.name, "expires": key.expires and key.expires.isoformat(), "public_key": key.public_key}
        for key in sorted(keys, key=lambda key: key.name)
    ]
    text = json.dumps({"format": _FORMAT, "keys": entries}, indent=2) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: file.write(text.encode()))
        path.chmod(0o600)
    except OSError as error:
        raise PackageError(f"Writing the trust file {path}: {error.strerror or error}.") from error
