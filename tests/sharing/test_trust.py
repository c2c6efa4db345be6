import datetime
from pathlib import Path

import pytest

from monai_ext.errors import PackageError
from monai_ext.sharing.keys import make_keys
from monai_ext.sharing.trust import add_trusted_key, read_trust, remove_trusted_key, trust_file


def test_trust_is_added_replaced_listed_and_taken_away(tmp_path: Path) -> None:
    file = tmp_path / "config" / "trust.json"
    _, public = make_keys(tmp_path / "ulm")
    _, other = make_keys(tmp_path / "other")
    assert read_trust(file) == []
    add_trusted_key(file, "Ulm", public, expires=datetime.date(2099, 1, 1))
    add_trusted_key(file, "Other", other)
    assert [(key.name, key.expires) for key in read_trust(file)] == [
        ("Other", None),
        ("Ulm", datetime.date(2099, 1, 1)),
    ]
    with pytest.raises(PackageError, match="trusted with another key already"):
        add_trusted_key(file, "Ulm", other)
    remove_trusted_key(file, "Ulm")
    assert [key.name for key in read_trust(file)] == ["Other"]
    with pytest.raises(PackageError, match="trusted are Other"):
        remove_trusted_key(file, "Ulm")


def test_a_last_day_that_is_past_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    _, public = make_keys(tmp_path / "ulm")
    with pytest.raises(PackageError, match="2020-01-31: that day is past"):
        add_trusted_key(tmp_path / "trust.json", "Ulm", public, expires=datetime.date(2020, 1, 31))
    assert not (tmp_path / "trust.json").exists()
    add_trusted_key(tmp_path / "trust.json", "Ulm", public, expires=datetime.date.today())


def test_a_trust_file_that_others_can_change_or_that_is_damaged_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    file.write_text("{}")
    file.chmod(0o600)
    with pytest.raises(PackageError, match="cannot be read"):
        read_trust(file)
    file.chmod(0o666)
    with pytest.raises(PackageError, match="can be changed by others"):
        read_trust(file)


def test_the_trust_file_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONAI_EXT_TRUST", str(tmp_path / "mine.json"))
    assert trust_file() == tmp_path / "mine.json"
