"""Known terms stay readable; nothing else does."""

from __future__ import annotations

import pytest

from monai_ext.data.ingestion.codes import body_part_code, kernel_code
from monai_ext.data.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms(bytes(32))


@pytest.mark.parametrize(
    ("kernel", "code"),
    [
        ("B30f", "B30F"),
        ("Br40d\\3", "BR40D-3"),
        ("I50f\\2", "I50F-2"),
        (" STD+ ", "STD+"),
        ("FC51", "FC51"),
        ("UB", "UB"),
        ("BONEPLUS", "BONEPLUS"),
        ("", None),
    ],
)
def test_kernels_of_known_scanners_are_kept(kernel: str, code: str | None) -> None:
    assert kernel_code(kernel, PSEUDONYMS) == code


@pytest.mark.parametrize("kernel", ["SMITH", "Doe^Jane", "B30f Smith", "4711", "JS"])
def test_other_text_is_hashed(kernel: str) -> None:
    code = kernel_code(kernel, PSEUDONYMS)
    assert code is not None
    assert code.startswith("other-")
    assert kernel.lower() not in code
    assert code == kernel_code(kernel.lower(), PSEUDONYMS)
    assert code != kernel_code(kernel, Pseudonyms(bytes(range(32))))


def test_only_defined_body_parts_are_kept() -> None:
    assert body_part_code(" chest ") == "CHEST"
    assert body_part_code("MRS SMITH") is None
    assert body_part_code("") is None
