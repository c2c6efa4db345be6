"""Splits: which items are for training, validation and test; written once as a file, checked whenever it is read."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from monai_ext.data.sources.open import SLICE_STORE
from monai_ext.data.splits.items import SECTIONS, SplitSource
from monai_ext.errors import SplitError
from monai_ext.files import read_json, write_durably

__all__ = ["Fold", "Splits", "read_splits"]

LARGEST_SPLITS_BYTES = 2**31

_MADE_AGAIN = ", or the store was made again with another key, so that all its ids are others"
_FORMAT, _VERSION = "monai_ext splits", 1
_REDUCTION = re.compile(r"[0-9]{1,9}_per_class|[0-9]{1,3}(\.[0-9]{1,20})?(e-[0-9]{1,3})?")


@dataclass(frozen=True)
class Fold:
    """One division of the items; each section is a tuple of ids.

    Attributes:
        training: items to learn from.
        validation: items to choose by.
        test: items that are looked at once.
        reductions: smaller training sets, each a part of the next larger one of its sort: ``"0.1"`` is a tenth of the
            training items of every class, ``"30_per_class"`` has 30 items of every class.
        near_duplicates: of sections other than training, the items that have a near duplicate in training (or, for
            test, in validation); for reporting results with and without them.
    """

    training: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    reductions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    near_duplicates: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def section(self, name: str) -> tuple[str, ...]:
        """Ids of ``"training"``, ``"validation"``, ``"test"``, or of a reduction by its name.

        Raises:
            SplitError: there is no such section.
        """
        if name in SECTIONS:
            return tuple(getattr(self, name))
        if name not in self.reductions:
            names = ", ".join([*SECTIONS, *self.reductions])
            raise SplitError(f"The split has no section {name!r}; it has {names}.")
        return self.reductions[name]


@dataclass(frozen=True)
class Splits:
    """One fold (training, validation, test) or K folds of one source, with how they were made.

    Attributes:
        folds: the folds.
        source: kind, name, content hash and number of items of what was split.
        made: how: official or with which fractions, seed, grouping, stratification.
        counts: items a class, of every section and reduction of every fold.
    """

    folds: tuple[Fold, ...]
    source: dict[str, Any]
    made: dict[str, Any]
    counts: tuple[dict[str, dict[str, int]], ...]

    @classmethod
    def of(cls, source: SplitSource, folds: Sequence[Fold], made: dict[str, Any]) -> Splits:
        """Put folds of a source together, after checking them.

        Raises:
            SplitError: sections overlap in items or groups, or a fold names unknown items.
        """
        about = {
            "kind": source.kind,
            "name": source.name,
            "content_hash": source.content_hash,
            "items": len(source.ids),
            "groups": len(set(source.groups)),
            "grouped_by": source.grouped_by,
        }
        splits = cls(tuple(folds), about, made, tuple(_counts(fold, source) for fold in folds))
        splits.check(source)
        return splits

    def save(self, path: str | Path) -> None:
        """Write the splits; a file that is there already stays as it is.

        Raises:
            SplitError: the file exists with other content: splits are written once, results refer to them.
        """
        path = Path(path).expanduser()
        content = (json.dumps({"format": _FORMAT, "version": _VERSION} | asdict(self), indent=1) + "\n").encode()
        if path.exists():
            if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
                return
            raise SplitError(
                f"{path} exists and holds another split. Results may refer to it, so it is not replaced: name another"
                " file, or delete it yourself."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, content)

    def check(self, source: SplitSource) -> None:
        """Make sure that these splits may be used with a source.

        Raises:
            SplitError: the source has changed since or is another one, a section names unknown items, an item or a
                group (patient) is in two sections, or a reduction is not part of the training section or not nested.
        """
        if self.source["content_hash"] != source.content_hash:
            raise SplitError(
                f"These splits were made of {self.source['name']!r} with {self.source['items']} items, and"
                f" {source.name!r} with {len(source.ids)} items is not the same: items, labels, patients or images have"
                f" changed, or other columns were named{_MADE_AGAIN if source.kind == SLICE_STORE else ''}. Use the"
                " data they were made of, or make new splits."
            )
        for number, fold in enumerate(self.folds):
            _check_sections(fold, source, number)
            _check_reductions(fold, number)
        if self.counts != tuple(_counts(fold, source) for fold in self.folds):
            raise SplitError("The splits' counts per class do not fit their items: the file was edited; make it again.")


def read_splits(path: str | Path, source: SplitSource) -> Splits:
    """Read splits that may be used with ``source``; see :meth:`Splits.check` for what is refused.

    Raises:
        SplitError: the file is missing, damaged, of a newer format, or does not fit the source.
    """
    splits = load_splits(path)
    splits.check(source)
    return splits


def load_splits(path: str | Path) -> Splits:
    """Read splits without their source, to show them. For using them there is :func:`read_splits`.

    Raises:
        SplitError: the file is missing, no file, damaged, or of a newer format.
    """
    path = Path(path).expanduser()
    try:
        content = read_json(path, most=LARGEST_SPLITS_BYTES)
        if content["format"] != _FORMAT:
            raise ValueError("it is of another format")
        if _whole(content["version"]) > _VERSION:
            raise SplitError(
                f"{path} has format version {content['version']}, but this program knows versions up to {_VERSION}:"
                " update monai_ext."
            )
        return _splits(content)
    except SplitError:
        raise
    except OSError as error:
        raise SplitError(f"The splits {path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise SplitError(
            f"{path} is no splits file, or is damaged ({reason}): make it again with `python -m monai_ext splits make`."
        ) from error


def _splits(content: dict[str, Any]) -> Splits:
    """Splits from the content of a file, of which nothing is believed.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is of another form.
    """
    folds = tuple(_fold(fold) for fold in _list(content["folds"]))
    source, made = dict(content["source"]), dict(content["made"])
    for name in ("kind", "name", "content_hash", "grouped_by"):
        _text(source[name])
    for name in ("items", "groups"):
        _whole(source[name])
    counts = tuple(_section_counts(counts) for counts in _list(content["counts"]))
    if not folds or len(folds) != len(counts):
        raise ValueError(f"it has {len(folds)} folds, and counts of {len(counts)}")
    return Splits(folds, source, made, counts)


def _fold(content: dict[str, Any]) -> Fold:
    sections = {name: _ids(content[name]) for name in SECTIONS}
    reductions = {name: _ids(ids) for name, ids in content["reductions"].items()}
    near_duplicates = {name: _ids(ids) for name, ids in content["near_duplicates"].items()}
    unknown = [name for name in reductions if not _REDUCTION.fullmatch(name)]
    unknown += [name for name in near_duplicates if name not in SECTIONS]
    if unknown:
        raise ValueError(f"it has a reduction or section {unknown[0]!r}")
    return Fold(**sections, reductions=reductions, near_duplicates=near_duplicates)


def _section_counts(content: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {name: {label: _whole(count) for label, count in classes.items()} for name, classes in content.items()}


def _ids(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(value))


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"it has {type(value).__name__} where a list belongs")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it has {type(value).__name__} where text belongs")
    return value


def _whole(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"it has {type(value).__name__} where a number of items belongs")
    return value


def _counts(fold: Fold, source: SplitSource) -> dict[str, dict[str, int]]:
    names = [*SECTIONS, *fold.reductions]
    labels = {name: [source.labels[place] for place in source.positions(fold.section(name))] for name in names}
    return {name: dict(sorted(Counter(values).items())) for name, values in labels.items()}


def _check_sections(fold: Fold, source: SplitSource, number: int) -> None:
    section_of_group: dict[str, str] = {}
    for name in SECTIONS:
        ids = fold.section(name)
        if len(set(ids)) < len(ids):
            raise SplitError(
                f"Fold {number} names an item more than once in its section {name}: make the splits again."
            )
        groups = {source.groups[place] for place in source.positions(ids)}
        shared = sorted(group for group in groups if group in section_of_group)
        if shared:
            raise SplitError(
                f"Fold {number} has {len(shared)} of the same {source.grouped_by} in {section_of_group[shared[0]]} and"
                f" {name}: results would be too good. Make the splits again, grouped by {source.grouped_by}."
            )
        section_of_group |= dict.fromkeys(groups, name)


def _check_reductions(fold: Fold, number: int) -> None:
    for sort in (False, True):
        larger: set[str] = set(fold.training)
        names = [name for name in fold.reductions if name.endswith("_per_class") == sort]
        for name in sorted(names, key=lambda name: float(name.removesuffix("_per_class")), reverse=True):
            ids = set(fold.reductions[name])
            if not ids <= larger:
                raise SplitError(
                    f"Reduction {name} of fold {number} is not part of the next larger training set: learning curves"
                    " would compare different items. Make the splits again."
                )
            larger = ids
