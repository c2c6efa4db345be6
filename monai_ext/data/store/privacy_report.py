"""Lists what a slice store keeps about patients, and why: for the data protection officer, and for one's own check."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from monai_ext.data.store.format import INDEX, INDEX_COLUMNS, LOCK, MANIFEST, PENDING, SERIES, SET_ASIDE, IndexColumn
from monai_ext.data.store.reader import SliceStore
from monai_ext.foreign_text import listed, printable

__all__ = ["make_privacy_report", "render_privacy_report"]

_SHOWN_CODES = 30
NOT_KEPT = (
    "names, patient, accession and other identifiers as given by the hospital",
    "dates and times, ages, sex, addresses, institution, staff, device serial numbers",
    "UIDs: ids are hashes with a key that stays with whoever ingested",
    "free text and private elements: text is kept only as the short codes that are listed above",
    "names of files and folders",
)
OLD_PSEUDONYMS = (
    "ITS PSEUDONYMS HAVE NO KEY, whatever is said above: an older version of this program made them, and who can guess"
    " an id finds it confirmed. Make it again with `python -m monai_ext data store` before it is shared."
)
REMAINING_RISKS = (
    "Whoever has the key and the original ids can tell which patient a pseudonym stands for: keep the key apart.",
    "Pixels are kept as they are. Text that was burned into them stays: look at `store thumbnails`.",
    "A head CT or MR shows the face when it is rendered in 3D, unless it was ingested with --deface (see deface above);"
    " ears, scalp, teeth and rare anatomy may be recognised all the same.",
)


def make_privacy_report(store: SliceStore) -> dict[str, Any]:
    """Collect what is kept: every index column with its reason and content, provenance, and files that do not belong.

    Returns:
        Plain JSON values: ``store``, ``patients``, ``series``, ``slices``, ``columns``, ``provenance``,
        ``not_kept``, ``remaining_risks``, ``foreign_files``.
    """
    index = store.columns()
    return {
        "store": str(store.path),
        "source_kind": store.source_kind,
        "patients": len(index.column("patient_id").unique()),
        "series": len(store.series_ids),
        "slices": len(store),
        "columns": [_describe(name, column, index.column(name)) for name, column in INDEX_COLUMNS.items()],
        "provenance": _provenance(store),
        "not_kept": list(NOT_KEPT),
        "remaining_risks": [*([OLD_PSEUDONYMS] if store.has_old_pseudonyms else []), *REMAINING_RISKS],
        "foreign_files": _foreign_files(store),
    }


def render_privacy_report(report: dict[str, Any]) -> str:
    """The report as text for people."""
    lines = [
        f"What is kept in {report['store']}: {report['slices']} slices ({report['source_kind']}) in {report['series']}"
        f" series of {report['patients']} patients",
        "",
        "Kept with every slice, and why:",
    ]
    for column in report["columns"]:
        lines.append(f"  {column['name']:20s} {column['meaning']}; kept for: {column['reason']}")
        lines.append(f"  {'':20s} -> {column['content']}")
    lines += ["", "Kept with every series (how it was made):"]
    lines += [f"  {name:20s} -> {content}" for name, content in report["provenance"].items()] or ["  nothing"]
    lines += ["", "Not kept:", *(f"  - {text}" for text in report["not_kept"])]
    lines += ["", "What remains to be careful about:", *(f"  - {text}" for text in report["remaining_risks"])]
    if report["foreign_files"]:
        lines += ["", "FILES THAT DO NOT BELONG TO THE STORE (look at them before you share it):"]
        lines += [f"  {printable(name)}" for name in report["foreign_files"]]
    return "\n".join(lines)


def _describe(name: str, column: IndexColumn, values: Any) -> dict[str, Any]:
    present = values.drop_null()
    if not len(present):
        content = "empty"
    elif column.kind == "pseudonym":
        content = f"{len(present.unique())} different pseudonyms"
    elif column.kind == "code":
        content = _codes(Counter(present.to_pylist()))
    else:
        numbers = present.to_numpy()
        content = " to ".join(dict.fromkeys(f"{number:g}" for number in (numbers.min(), numbers.max())))
    filled = f", in {len(present)} of {len(values)} slices" if 0 < len(present) < len(values) else ""
    return {"name": name, "meaning": column.meaning, "reason": column.reason, "content": content + filled}


def _codes(counts: Counter[Any]) -> str:
    return listed((f"{value} ({count})" for value, count in counts.most_common()), most=_SHOWN_CODES)


def _provenance(store: SliceStore) -> dict[str, str]:
    counts: dict[str, Counter[Any]] = {}
    for provenance in store.provenance:
        for name, value in provenance.items():
            counts.setdefault(name, Counter())[str(value)] += 1
    return {name: _codes(counter) for name, counter in sorted(counts.items())}


def _foreign_files(store: SliceStore) -> list[str]:
    """Files that no part of the store's format accounts for, as paths relative to the store."""
    top = {MANIFEST, LOCK, SET_ASIDE}
    known = set(store.series_ids)

    def belongs(file: Path) -> bool:
        if len(file.parts) == 1:
            return file.name in top
        if file.parts[0] in (INDEX, PENDING):
            return len(file.parts) == 2 and file.suffix == {INDEX: ".parquet", PENDING: ".arrow"}[file.parts[0]]
        return file.parts[0] == SERIES and file.suffix == ".b2nd" and file.stem in known

    files = (file.relative_to(store.path) for file in store.path.rglob("*") if not file.is_dir())
    return sorted(file.as_posix() for file in files if not belongs(file))
