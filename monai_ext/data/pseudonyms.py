"""Ids that do not show whom they stand for: hashes with a key that stays with the user."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from monai_ext.errors import DatasetError
from monai_ext.files import read_regular

__all__ = ["Pseudonyms", "default_key_file", "group_pseudonyms", "load_pseudonyms"]

_KEY_BYTES, _LARGEST_KEY_FILE = 32, 4096
_ELSEWHERE = "Name a file that can be written with the environment variable MONAI_EXT_KEY."


class Pseudonyms:
    """Makes pseudonyms: the same identity gives the same one, and without the key nobody can try out identities.

    HMAC-SHA256 (RFC 2104), cut to 128 bits. A hash without a key would not do: patient numbers are short, and all of
    them can be hashed in minutes.

    Args:
        key: 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_BYTES:
            raise ValueError(f"A key for pseudonyms has {_KEY_BYTES} bytes, not {len(key)}.")
        self._key = key

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def of(self, kind: str, *identity: bytes | str | int | float) -> str:
        """32 hexadecimal digits for something of a kind, such as ``of("patient", patient_id)``."""
        return self.digest(kind, *identity).hex()

    def digest(self, kind: str, *identity: bytes | str | int | float) -> bytes:
        """The same as 16 bytes."""
        parts = [kind.encode(), *(part if isinstance(part, bytes) else _encode(part) for part in identity)]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.new(self._key, message, hashlib.sha256).digest()[:16]

    def group(self, name: str) -> str:
        """Pseudonym of a group, such as a patient, that goes by a name within its data set."""
        return self.of("group", name)

    def letters(self, kind: str, *identity: bytes | str) -> str:
        """Eight letters from a to p: a short code without digits."""
        return self.of(kind, *identity)[:8].translate(str.maketrans("0123456789abcdef", "abcdefghijklmnop"))


def default_key_file() -> Path:
    """``$MONAI_EXT_KEY`` where it is set, else ``monai_ext/pseudonym.key`` in the user's configuration folder.

    Raises:
        DatasetError: the user has no home.
    """
    chosen = os.environ.get("MONAI_EXT_KEY")
    if chosen:
        return Path(chosen).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME")
    try:
        return Path(folder or Path.home() / ".config") / "monai_ext" / "pseudonym.key"
    except RuntimeError as error:  # a container may run as a user without a home
        raise DatasetError(f"There is no place for the key of the pseudonyms: {error} {_ELSEWHERE}") from error


def load_pseudonyms(file: str | Path | None = None) -> Pseudonyms:
    """Load the key from a file that only its owner can read; make it when it is not there.

    Args:
        file: 64 hexadecimal digits as text; :func:`default_key_file` when omitted.

    Raises:
        DatasetError: others can read it, it holds something else, or it cannot be read or made.
    """
    path = Path(file).expanduser() if file is not None else default_key_file()
    try:
        if not path.exists():
            _make_key(path)
        content = read_regular(path, most=_LARGEST_KEY_FILE)
        _refuse_shared_key(path)
    except OSError as error:
        raise DatasetError(
            f"The key for pseudonyms {path} cannot be used: {error.strerror or error}. {_ELSEWHERE}"
        ) from error
    try:
        key = bytes.fromhex(content.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise DatasetError(
            f"The key for pseudonyms {path} is damaged: {2 * _KEY_BYTES} hexadecimal digits are expected. Restore it"
            " from a copy; with another key the same patient gets another pseudonym."
        )
    return Pseudonyms(key)


def group_pseudonyms(names: Iterable[str]) -> tuple[str, ...]:
    """Pseudonyms with the user's own key for the names of groups, such as patients; equal names have equal ones.

    Raises:
        DatasetError: see :func:`load_pseudonyms`.
    """
    pseudonyms = load_pseudonyms()
    known: dict[str, str] = {}
    made = []
    for name in names:
        if name not in known:
            known[name] = pseudonyms.group(name)
        made.append(known[name])
    return tuple(made)


def _refuse_shared_key(path: Path) -> None:
    """Refuse a key that is no secret: whoever has it can try out identities."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise DatasetError(
            f"The key for pseudonyms {path} is open to others than its owner (mode {mode:03o}), and whoever has it can"
            f" find out whom a pseudonym stands for. Close it with `chmod 600 {path}`; if somebody may have read it,"
            " make new stores with a new key."
        )


def _make_key(path: Path) -> None:
    """Write a new key; of two processes that do so at once, one wins and both use its key."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_KEY_BYTES) + "\n")
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)


def _encode(part: str | int | float) -> bytes:
    return str(part).encode("utf-8", errors="surrogateescape")
