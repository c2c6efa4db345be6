"""Pseudonyms are stable with a key, different without it, and the key is its owner's alone."""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.dicom_files import write_series
from helpers.picture_files import save_picture, write_table
from monai_ext.data.labelled.labelled_sections import open_labelled_images
from monai_ext.data.labelled.sets import open_labelled_sets
from monai_ext.data.labelled.to_store import store_labelled_pictures
from monai_ext.data.open_slices import open_slices
from monai_ext.data.pseudonyms import Pseudonyms, default_key_file, load_pseudonyms
from monai_ext.data.sources.open import open_source
from monai_ext.data.splits.items import open_split_source
from monai_ext.data.store.reader import SliceStore
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
    pseudonym = Pseudonyms(KEY).of("patient", "42")
    assert pseudonym != Pseudonyms(bytes(32)).of("patient", "42")
    assert pseudonym != Pseudonyms(KEY).of("study", "42")
    assert pseudonym == Pseudonyms(KEY).of("patient", b"42")


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
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(DatasetError, match="64 hexadecimal digits are expected"):
        load_pseudonyms(tmp_path / "key")


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be used"):
        load_pseudonyms(tmp_path)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="has 32 bytes, not 3"):
        Pseudonyms(b"abc")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o622])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    load_pseudonyms(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(DatasetError, match=rf"open to others.*mode {mode:03o}.*chmod 600"):
        load_pseudonyms(tmp_path / "key")


def test_a_pipe_is_no_key_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key", 0o600)
    with pytest.raises(DatasetError, match=r"cannot be used.*MONAI_EXT_KEY"):
        load_pseudonyms(tmp_path / "key")


def test_a_user_without_a_home_is_told_where_to_name_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("MONAI_EXT_KEY", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(DatasetError, match=r"no place for the key.*MONAI_EXT_KEY"):
        load_pseudonyms()


def _table(folder: Path) -> Path:
    ids = [f"{number}.png" for number in range(10)]
    for item in ids:
        save_picture(folder / item, np.zeros((9, 9)))
    rows = [f"{item},{'ab'[number % 2]},patient{number}" for number, item in enumerate(ids)]
    return write_table(folder, rows, header="file,label,patient_id")


def test_every_room_that_shows_groups_shows_them_keyed_and_holds_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another key gives other pseudonyms everywhere, and the same slices for validation."""
    table, shown, held_out = _table(tmp_path / "data"), [], []
    write_series(tmp_path / "dicom" / "1", slices=2, series="1")
    write_series(tmp_path / "dicom" / "2", slices=2, series="2")
    for number in range(2):
        monkeypatch.setenv("MONAI_EXT_KEY", str(tmp_path / f"{number}.key"))
        for _ in store_labelled_pictures(open_split_source(table), table, tmp_path / f"store{number}"):
            pass
        shown.append(
            [
                open_source(table.parent).groups,
                open_source(tmp_path / "dicom").groups,
                open_slices(table.parent, section="all").groups,
                open_labelled_sets(str(table))[0].groups,
                open_labelled_images(table, class_names=["a", "b"], section="all").groups,
                tuple(SliceStore(tmp_path / f"store{number}").index.patient_id),
            ]
        )
        held_out.append(open_slices(table.parent, section="validation", image_size=32).indices)
    assert held_out[0] == held_out[1]
    for first, second in zip(*shown, strict=True):
        assert not set(first) & set(second)
        assert all(re.fullmatch("[0-9a-f]{32}", group) for group in first)
    assert set(shown[0][4]) == set(shown[0][5])  # a result of the table and the store name a patient alike
