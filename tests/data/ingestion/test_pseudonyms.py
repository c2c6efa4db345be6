"""Pseudonyms are stable with a key, different without it, and the key is its owner's alone."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.data.ingestion.pseudonyms import Pseudonyms, default_key_file, load_pseudonyms
from monai_ext.errors import DatasetError

KEY = bytes(range(32))


def test_a_pseudonym_is_a_keyed_hash_worked_out_by_hand() -> None:
    import hashlib
    import hmac

    message = b"\0\0\0\0\0\0\0\x07patient\0\0\0\0\0\0\0\x0242"
    expected = hmac.new(KEY, message, hashlib.sha256).hexdigest()[:32]
    assert Pseudonyms(KEY).of("patient", b"42") == expected


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_different_identities_have_different_pseudonyms(first: list[bytes], second: list[bytes]) -> None:
    made = Pseudonyms(KEY)
    assert (made.of("x", *first) == made.of("x", *second)) == (first == second)


def test_another_key_or_kind_gives_another_pseudonym() -> None:
    one = Pseudonyms(KEY).of("patient", "42")
    assert one != Pseudonyms(bytes(32)).of("patient", "42")
    assert one != Pseudonyms(KEY).of("study", "42")
    assert one == Pseudonyms(KEY).of("patient", b"42")


def test_letters_have_no_digits() -> None:
    assert re.fullmatch("[a-p]{8}", Pseudonyms(KEY).letters("kernel", "SMITH"))


def test_the_key_is_not_shown() -> None:
    assert "(...)" in repr(Pseudonyms(KEY))


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "pseudonym.key"
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: load_pseudonyms(file).of("x"), range(4)))
    assert len(set(made)) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["pseudonym.key"]


def test_the_default_key_lies_in_the_configuration_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MONAI_EXT_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_key_file() == tmp_path / "monai_ext" / "pseudonym.key"


@pytest.mark.parametrize("content", ["", "abc", "zz" * 32, "ab" * 31])
def test_a_damaged_key_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(DatasetError, match="64 hexadecimal digits are expected"):
        load_pseudonyms(tmp_path / "key")


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be used"):
        load_pseudonyms(tmp_path)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="has 32 bytes, not 3"):
        Pseudonyms(b"abc")
