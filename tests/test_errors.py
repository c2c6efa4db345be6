from __future__ import annotations

import errno
import os
import pickle

import pytest

from monai_ext.data.dicom.refusals import Refusal, SkipReason
from monai_ext.errors import DatasetError, ReportedError, TrainingStoppedError, public_text

NAMES = (
    "Doe, Jane (1950)/ct 1.dcm",
    "DOE^JANE",
    "O'Brien/slice",
    "Müller-Łoś",
    "Доу Джейн.png",
    "no suffix here",
    "a:b",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_message_has_the_path_and_the_public_sentence_has_not(name: str) -> None:
    error = DatasetError("Reading {file}: it ends after 12 bytes.", file=name)
    assert str(error) == f"Reading {name}: it ends after 12 bytes."
    assert public_text(error) == "DatasetError: Reading <file>: it ends after 12 bytes."
    assert error.fields == {"file": name}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", [ValueError, RuntimeError, KeyError, DatasetError, OSError, SystemExit])
def test_of_a_text_that_may_have_a_name_in_it_only_the_type_is_told(kind: type[BaseException], name: str) -> None:
    assert public_text(kind(f"cannot read {name}")) == kind.__name__


def test_an_error_of_the_system_is_told_in_its_own_words() -> None:
    error = PermissionError(errno.EACCES, "Doe^Jane is locked", "/data/Doe^Jane")
    assert public_text(error) == f"PermissionError: {os.strerror(errno.EACCES)}"
    assert public_text(OSError("Doe", "Jane")) == "OSError"


def test_the_reason_is_told_in_words_of_the_system_too() -> None:
    reason = OSError(errno.ENOSPC, "No space left on device", "/data/Doe^Jane/encoder.pt")
    error = TrainingStoppedError(
        "{file} was not written ({reason}); the last is {last}.", file="x", reason=reason, last=None
    )
    assert str(error) == "x was not written (No space left on device); the last is none."
    assert error.public == "<file> was not written (No space left on device); the last is none."
    other = DatasetError("{file}: {reason}", file="x", reason=ValueError("Doe^Jane"))
    assert other.public == "<file>: ValueError"


def test_a_value_that_looks_like_a_field_brings_nothing_into_the_public_sentence() -> None:
    error = DatasetError("{file} of {folder}", file="{folder}", folder="Doe")
    assert "Doe" not in error.public


def test_an_error_goes_to_another_process_and_back_with_both_renderings() -> None:
    error = pickle.loads(pickle.dumps(DatasetError("Reading {file}", file="Doe^Jane")))
    assert (str(error), error.public) == ("Reading Doe^Jane", "Reading <file>")


def test_what_is_told_fits_into_a_tag() -> None:
    assert len(public_text(ReportedError("x" * 20_000 + "{file}", file="a"))) == 1000


def test_why_a_file_is_not_used_can_be_told_elsewhere_without_what_was_found_in_it() -> None:
    refusal = Refusal(SkipReason.CUT_PIXELS, "Doe^Jane")
    error = DatasetError("The volume {file} cannot be read: {reason}.", file="/Doe.nii", reason=refusal)
    assert str(error) == "The volume /Doe.nii cannot be read: it has fewer pixels than it declares (Doe^Jane)."
    assert (
        public_text(error)
        == "DatasetError: The volume <file> cannot be read: it has fewer pixels than it declares (<detail>)."
    )
    assert public_text(Refusal(SkipReason.EMPTY)) == "Refusal: it is empty"
    copy = pickle.loads(pickle.dumps(refusal))
    assert (copy.reason, copy.detail, public_text(copy)) == (refusal.reason, "Doe^Jane", public_text(refusal))


def test_fields_that_cannot_be_pickled_travel_as_text() -> None:
    reason = OSError(errno.ENOSPC, "No space left on device", "/data/Doe^Jane")
    error = DatasetError("Reading {file}: {reason} {other}", file="Doe^Jane", reason=reason, other=lambda: 1)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.public) == (DatasetError, str(error), error.public)
    assert copy.fields["reason"] == "No space left on device"
