from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ext.tracking.redaction import error_text, without_paths


@pytest.mark.parametrize(
    "text",
    [
        "Reading /data/Doe, Jane (1950)/ct 1.dcm: truncated",
        "No such file or directory: '/home/x/Doe Jane'",
        "cannot read Doe_Jane.nii.gz",
        "cannot read lung/Doe_Jane/slice",
        r"cannot read C:\scans\Doe Jane\1.dcm",
        r"cannot read \\server\scans\Doe Jane",
        'the folder "~/Doe Jane" is empty',
        "the folder ~/scans/Doe Jane is empty",
        "unreadable: Doe.dcm, Doe.png and Doe.DCM",
    ],
)
def test_names_of_files_and_folders_are_removed(text: str) -> None:
    assert "Doe" not in without_paths(text)
    assert "Jane" not in without_paths(text)
    assert "<path>" in without_paths(text)


def test_what_went_wrong_stays() -> None:
    assert without_paths("Reading /data/Doe, Jane/ct 1.dcm: truncated after 12 bytes.") == (
        "Reading <path>: truncated after 12 bytes."
    )


@pytest.mark.parametrize(
    "text",
    ["the loss of iteration 12 is nan", "expected (B, C, H, W), got (2, 3)", "lr 2e-4; 3 / 4 of the slices are empty"],
)
def test_a_text_without_paths_is_left_alone(text: str) -> None:
    assert without_paths(text) == text


@given(name=st.text(alphabet="abcXYZ ,.()-_", min_size=1).filter(lambda name: name.strip(" ,.()-_")))
def test_no_part_of_an_absolute_path_survives(name: str) -> None:
    assert without_paths(f"opening /q9/{name}0: gone") == "opening <path>: gone"


def test_an_error_is_one_line_with_its_kind() -> None:
    assert error_text(ValueError("a\n  b")) == "ValueError: a b"
    assert error_text(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_an_error_is_cut_to_what_a_tag_can_hold() -> None:
    assert len(error_text(ValueError("x" * 20_000))) == 1000
