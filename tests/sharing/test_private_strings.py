from pathlib import Path

import numpy as np
import pytest

from monai_ext.errors import BundleAuditError
from monai_ext.sharing.private_strings import machine_strings, refuse_private_strings


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le"])
def test_a_private_string_is_found_in_every_encoding_and_not_repeated(encoding: str) -> None:
    content = "before Müller^Anna after".encode(encoding)
    with pytest.raises(BundleAuditError, match=r"b\.bin must not travel: it contains a patient") as error:
        refuse_private_strings({"a.txt": b"nothing", "b.bin": content}, {"patient": ["Müller^Anna"]})
    assert "Anna" not in str(error.value)


def test_short_and_ordinary_strings_say_nothing() -> None:
    refuse_private_strings({"a": b"ab root monai localhost"}, {"user": ["ab", "root", "monai", "localhost", "/"]})


@pytest.mark.parametrize("path", ["/home/anna/x", "/Users/anna/x", "C:\\Users\\anna", "C:\\\\Users\\\\anna"])
def test_any_home_folder_is_a_path(path: str) -> None:
    with pytest.raises(BundleAuditError, match="contains a path"):
        refuse_private_strings({"a": f"trained in {path}".encode()}, {})


def test_the_strings_of_a_machine_are_user_host_and_folders(tmp_path: Path) -> None:
    found = machine_strings(tmp_path)
    assert str(tmp_path.resolve()) in found["path"]
    assert str(Path.home()) in found["path"]
    assert found["user"]
    assert found["host"]


@pytest.mark.parametrize("at", [0, 7, 2**20 - 3, 2**20, 2**20 + 500])
def test_one_of_thousands_of_strings_is_found_wherever_it_stands(at: int) -> None:
    names = {f"patient_{number:05d}" for number in range(5000)}
    content = bytearray(np.random.default_rng(0).integers(0, 256, 2**20 + 513, np.uint8).tobytes())
    refuse_private_strings({"a": bytes(content)}, {"name": names})
    content[at : at + 13] = b"patient_04321"
    with pytest.raises(BundleAuditError, match="contains a name"):
        refuse_private_strings({"a": bytes(content)}, {"name": names})
