"""Names of files lead below their folder, in one spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_ext.data.sources.below import names_below, plain_name
from monai_ext.errors import SplitError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """``data`` with two files, beside a secret one."""
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "0.png").touch()
    (tmp_path / "data" / "a" / "1.png").touch()
    (tmp_path / "secret.png").touch()
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("0.png", "0.png"),
        ("./0.png", "0.png"),
        ("a//1.png", "a/1.png"),
        ("a/../0.png", "0.png"),
        ("a/./1.png", "a/1.png"),
    ],
)
def test_every_spelling_of_a_path_is_one_name(root: Path, name: str, plain: str) -> None:
    assert names_below(root, [name], table="labels.csv") == (plain,)
    assert plain_name(plain) == plain


def test_a_whole_path_that_leads_below_the_folder_is_the_same_item(root: Path) -> None:
    assert names_below(root, [str(root / "a" / "1.png")], table="labels.csv") == ("a/1.png",)


@pytest.mark.parametrize(
    "name", ["../secret.png", "a/../../secret.png", "/etc/hostname", "..", "/", "link.png", "up/secret.png"]
)
def test_what_leads_out_of_the_folder_is_refused(root: Path, name: str) -> None:
    (root / "link.png").symlink_to(root.parent / "secret.png")
    (root / "up").symlink_to(root.parent)
    with pytest.raises(
        SplitError, match=r"labels.csv names 1 files that lie outside its folder: .*copy the pictures there"
    ):
        names_below(root, ["0.png", name], table="labels.csv")


def test_links_within_the_folder_and_a_folder_that_is_a_link_are_followed(root: Path) -> None:
    (root / "b").symlink_to(root / "a")
    (root.parent / "elsewhere").symlink_to(root)
    assert names_below(root.parent / "elsewhere", ["b/1.png", "0.png"], table="labels.csv") == ("b/1.png", "0.png")


@pytest.mark.parametrize("name", ["2.png", "a", ".", "0.png/1.png", "x" * 300, "\ud800.png"])
def test_what_is_no_file_is_named(root: Path, name: str) -> None:
    with pytest.raises(SplitError, match="names 1 files that are not below"):
        names_below(root, [name, "0.png"], table="labels.csv")
