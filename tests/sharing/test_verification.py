"""A signed package: whole, or what was changed is named, for every file and for every byte."""

import dataclasses
import datetime
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from helpers.hostile_bundles import honest_files, in_archives
from helpers.packages import make_trusted_key, write_small_package
from monai_ext.errors import PackageError
from monai_ext.sharing.keys import make_keys
from monai_ext.sharing.manifest import FORMAT_VERSION
from monai_ext.sharing.package_file import MANIFEST, SIGNATURE, open_package, unpack, write_package
from monai_ext.sharing.trust import TrustedKey
from monai_ext.sharing.verification import sign_package, verify_package

pytest.importorskip("model_signing")

NAMES = sorted([*honest_files(), MANIFEST, SIGNATURE])


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrustedKey]:
    return make_trusted_key(tmp_path_factory.mktemp("keys"), "ulm")


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, TrustedKey]) -> Path:
    path = write_small_package(tmp_path_factory.mktemp("package") / "small.zip")
    return sign_package(path, private_key=keys[0])


def _files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read() for file in open_package(path)}


def _changed(path: Path, signed: Path, change: dict[str, bytes | None]) -> Path:
    files = {name: content for name, content in (_files(signed) | change).items() if content is not None}
    write_package(path, files, root="small")
    return path


def test_a_signed_package_is_by_its_signer(signed: Path, keys: tuple[Path, TrustedKey]) -> None:
    found = verify_package(signed, trusted=[keys[1]])
    assert found.problems == []
    assert found.signer == "ulm"
    assert found.manifest.bundle == "small"


def test_the_reference_implementation_verifies_it_and_misses_nothing(
    signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path
) -> None:
    from model_signing import verifying

    (tmp_path / "ulm.pub").write_text(keys[1].public_key)
    bundle = open_package(signed)
    folder = unpack(bundle, tmp_path / "small", {})
    verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "ulm.pub").verify(folder, folder / SIGNATURE)
    (folder / "docs" / "README.md").write_text("changed")
    with pytest.raises(ValueError, match=r"docs/README\.md"):
        verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "ulm.pub").verify(folder, folder / SIGNATURE)


@pytest.mark.parametrize("name", NAMES)
def test_one_byte_changed_in_any_file_is_named(
    name: str, signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path
) -> None:
    content = _files(signed)[name]
    for position in {0, len(content) // 2, len(content) - 1}:
        other = content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        path = _changed(tmp_path / "changed.zip", signed, {name: other})
        try:
            problems = verify_package(path, trusted=[keys[1]]).problems
        except PackageError as error:  # a manifest that is no JSON any longer
            problems = [str(error)]
        assert any(name in problem or "not trusted" in problem or "manifest" in problem for problem in problems)


def test_every_single_byte_of_the_zip_counts(signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path) -> None:
    whole = signed.read_bytes()
    path = tmp_path / "changed.zip"
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            assert verify_package(path, trusted=[keys[1]]).problems, position
        except PackageError:
            continue


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (MANIFEST, SIGNATURE)])
def test_a_file_that_was_removed_is_named(
    name: str, signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path
) -> None:
    path = _changed(tmp_path / "removed.zip", signed, {name: None})
    assert f"{name} was removed" in verify_package(path, trusted=[keys[1]]).problems


def test_a_file_that_was_added_is_named_even_when_the_manifest_was_made_to_fit(
    signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path
) -> None:
    path = _changed(tmp_path / "added.zip", signed, {"docs/more.md": b"more"})
    assert "docs/more.md was added" in verify_package(path, trusted=[keys[1]]).problems
    forged = write_small_package(tmp_path / "forged.zip", honest_files() | {"docs/more.md": b"more"})
    path = _changed(tmp_path / "added.zip", forged, {SIGNATURE: _files(signed)[SIGNATURE]})
    assert {"docs/more.md was added", f"{MANIFEST} was changed"} <= set(
        verify_package(path, trusted=[keys[1]]).problems
    )


def test_the_signature_of_another_key_is_named(signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path) -> None:
    _, other = make_trusted_key(tmp_path, "other")
    [problem] = verify_package(signed, trusted=[other]).problems
    assert "a key that is not trusted here" in problem
    assert "trusted: other" in problem
    # the same key hint under another key: somebody claims to be ulm
    private, _ = make_keys(tmp_path / "claimed")
    claimed = sign_package(signed, private_key=private, output=tmp_path / "claimed.zip")
    swapped = json.loads(_files(claimed)[SIGNATURE])
    swapped["verificationMaterial"] = json.loads(_files(signed)[SIGNATURE])["verificationMaterial"]
    text = (json.dumps(swapped, indent=1, sort_keys=True) + "\n").encode()
    path = _changed(tmp_path / "claimed.zip", claimed, {SIGNATURE: text})
    assert "who did not sign this" in verify_package(path, trusted=[keys[1]]).problems[0]


def test_expired_trust_is_named_with_its_day(signed: Path, keys: tuple[Path, TrustedKey]) -> None:
    day = datetime.date(2026, 5, 1)
    until = dataclasses.replace(keys[1], expires=day)
    assert verify_package(signed, trusted=[until], today=day).problems == []
    [problem] = verify_package(signed, trusted=[until], today=day + datetime.timedelta(days=1)).problems
    assert "expired on 2026-05-01" in problem


def test_an_unsigned_package_says_that_nobody_vouches_for_it(tmp_path: Path) -> None:
    [problem] = verify_package(write_small_package(tmp_path / "small.zip"), trusted=[]).problems
    assert "not signed" in problem


def test_signing_twice_replaces_the_signature_and_the_rest_stays_byte_by_byte(
    signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path
) -> None:
    again = sign_package(signed, private_key=keys[0], output=tmp_path / "again.zip")
    first, second = _files(signed), _files(again)
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in first if name != SIGNATURE)
    assert verify_package(again, trusted=[keys[1]]).problems == []


def test_what_was_changed_since_packing_is_not_signed(
    signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path
) -> None:
    path = _changed(tmp_path / "changed.zip", signed, {"LICENSE": b"other"})
    with pytest.raises(PackageError, match="LICENSE was changed"):
        sign_package(path, private_key=keys[0])


@pytest.mark.parametrize("name", list(in_archives()))
def test_a_dangerous_zip_is_refused_before_anything_of_it_is_read(
    name: str, signed: Path, keys: tuple[Path, TrustedKey], tmp_path: Path
) -> None:
    path = tmp_path / "package.zip"
    shutil.copy(signed, path)
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
    if root != "bundle":
        bundle_files = _files(signed)
        write_package(path, bundle_files, root="bundle")
    with pytest.raises(PackageError, match=r"must not be unpacked|a complete zip"):
        verify_package(in_archives()[name](path), trusted=[keys[1]])


def test_truncated_missing_newer_and_foreign_packages_are_refused_with_a_remedy(signed: Path, tmp_path: Path) -> None:
    whole = signed.read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PackageError, match="Copy it again"):
        verify_package(tmp_path / "cut.zip", trusted=[])
    with pytest.raises(PackageError, match="no such file"):
        verify_package(tmp_path / "missing.zip", trusted=[])
    path = _changed(tmp_path / "none.zip", signed, {MANIFEST: None})
    with pytest.raises(PackageError, match="is no package: it has no manifest"):
        verify_package(path, trusted=[])
    newer = json.loads(_files(signed)[MANIFEST]) | {"format_version": FORMAT_VERSION + 1}
    path = _changed(tmp_path / "newer.zip", signed, {MANIFEST: json.dumps(newer).encode()})
    with pytest.raises(PackageError, match="install the version of this project that its sender has"):
        verify_package(path, trusted=[])


def test_unpacking_makes_sure_of_each_file_and_leaves_nothing_behind(signed: Path, tmp_path: Path) -> None:
    bundle = open_package(signed)
    with pytest.raises(PackageError, match="changed after it was verified"):
        unpack(bundle, tmp_path / "out", {"LICENSE": "0" * 64})
    assert list(tmp_path.iterdir()) == []
    folder = unpack(bundle, tmp_path / "out", {})
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(NAMES)
    with pytest.raises(PackageError, match="is there already"):
        unpack(bundle, tmp_path / "out", {})


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_named(signed: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PackageError, match="Permission denied"):
        unpack(open_package(signed), tmp_path / "out", {})
