import stat
from pathlib import Path

import pytest

from monai_ext.errors import PackageError
from monai_ext.sharing.keys import check_private_key, fingerprint, make_keys, read_public_key


def test_the_private_key_is_its_owners_alone(tmp_path: Path) -> None:
    private, _ = make_keys(tmp_path / "ulm")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    check_private_key(private)
    private.chmod(0o640)
    with pytest.raises(PackageError, match="can be read by others"):
        check_private_key(private)
    with pytest.raises(PackageError, match="is there already"):
        make_keys(tmp_path / "ulm")
    with pytest.raises(PackageError, match="bundle keys make"):
        check_private_key(tmp_path / "other.key")


def test_a_fingerprint_is_sixteen_groups_of_four_digits(tmp_path: Path) -> None:
    _, public = make_keys(tmp_path / "ulm")
    groups = fingerprint(read_public_key(public.read_bytes(), source=public)).split()
    assert len(groups) == 16
    assert all(len(group) == 4 and int(group, 16) >= 0 for group in groups)


def test_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    private, _ = make_keys(tmp_path / "ulm")
    with pytest.raises(PackageError, match="is no public key"):
        read_public_key(private.read_bytes(), source=private)
