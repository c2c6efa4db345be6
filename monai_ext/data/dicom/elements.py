"""Typed access to DICOM elements: tolerant of padding and emptiness, refusing what cannot be understood."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from monai_ext.data.dicom.refusals import Refusal, SkipReason

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["codes", "identifier", "integer", "label", "number", "numbers", "sequence"]

_LONGEST_LIST = 64


def label(keyword: str) -> str:
    """A tag with its keyword, as error messages show it: ``RescaleSlope (0028,1053)``."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword) or 0
    return f"{keyword} ({tag >> 16:04x},{tag & 0xFFFF:04x})"


def numbers(dataset: Dataset, keyword: str, *, count: int) -> tuple[float, ...] | None:
    """Exactly ``count`` finite numbers, or None when the element is missing or empty.

    Raises:
        Refusal: the element is there, but is something else.
    """
    values = _values(dataset, keyword)
    if not values:
        return None
    try:
        converted = tuple(float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        raise Refusal(SkipReason.DAMAGED, f"{label(keyword)} is not a number") from None
    if len(converted) != count or not all(map(math.isfinite, converted)):
        raise Refusal(SkipReason.DAMAGED, f"{label(keyword)} should be {count} finite numbers, not {len(converted)}")
    return converted


def number(dataset: Dataset, keyword: str) -> float | None:
    """One finite number, or None when the element is missing or empty.

    Raises:
        Refusal: the element is there, but is something else.
    """
    found = numbers(dataset, keyword, count=1)
    return None if found is None else found[0]


def integer(dataset: Dataset, keyword: str) -> int | None:
    """One whole number, or None when the element is missing or empty.

    Raises:
        Refusal: the element is there, but is something else.
    """
    found = number(dataset, keyword)
    if found is not None and found != int(found):
        raise Refusal(SkipReason.DAMAGED, f"{label(keyword)} is not a whole number")
    return None if found is None else int(found)


def codes(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of a text element in capitals, without padding; none when it is missing or cannot be read."""
    try:
        values = _values(dataset, keyword)
    except Refusal:
        return ()
    return tuple(str(value).strip(" \0").upper() for value in values)


def identifier(dataset: Dataset, keyword: str) -> bytes:
    """The bytes of an element as they are in the file, without padding: what pseudonyms are made from.

    They are not decoded, since a wrong character set must not turn two patients into one.
    """
    from pydicom.datadict import tag_for_keyword

    try:
        element: Any = dataset.get_item(tag_for_keyword(keyword) or 0)
        value = getattr(element, "value", None)
    except Exception:  # damaged elements surface as errors of many types
        return b""
    content = value if isinstance(value, bytes) else str(value if value is not None else "").encode(errors="replace")
    return content.strip(b" \0")


def sequence(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none when it is missing.

    Raises:
        Refusal: the element is there, but is no sequence.
    """
    from pydicom import Sequence

    if keyword not in dataset:
        return []
    try:
        items = dataset[keyword].value
    except Exception:  # damaged elements surface as errors of many types
        raise Refusal(SkipReason.DAMAGED, f"{label(keyword)} cannot be parsed") from None
    if items is None:
        return []
    if not isinstance(items, Sequence):
        raise Refusal(SkipReason.DAMAGED, f"{label(keyword)} is no sequence")
    return list(items)


def _values(dataset: Dataset, keyword: str) -> list[Any]:
    try:
        value = dataset.get(keyword)
    except Exception:  # damaged elements surface as errors of many types
        raise Refusal(SkipReason.DAMAGED, f"{label(keyword)} cannot be parsed") from None
    if value is None or (isinstance(value, str | bytes) and not value.strip()):
        return []
    return list(_listed(value))


def _listed(value: Any) -> Iterator[Any]:
    from pydicom.multival import MultiValue

    if not isinstance(value, MultiValue | list | tuple):
        yield value
        return
    yield from value[:_LONGEST_LIST]
