"""What the CI of MONAI's model zoo checks about a bundle, without a network."""

from __future__ import annotations

import io
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from monai_ext.errors import BundleAuditError
from monai_ext.files import read_json
from monai_ext.sharing.audit import audit_bundle
from monai_ext.sharing.audit.config_text import CONFIG_SUFFIXES, parse_config
from monai_ext.sharing.audit.findings import Reporter
from monai_ext.sharing.metadata_rules import changelog_problems, metadata_problems, version_problems
from monai_ext.sharing.metadata_schema import kept_schema, schema_problems
from monai_ext.sharing.trained_model import WEIGHTS

__all__ = ["EXPORTS", "CheckRow", "as_overview", "as_table", "check_bundle", "read_metadata"]

NEEDED_FILES = ("LICENSE", "configs/metadata.json", "docs/README.md")
NEEDED_CONFIGS = ("inference", "train")
NEEDED_IDS = {
    "train": (
        "bundle_root",
        "device",
        "dataset_dir",
        "train::trainer",
        "train::dataset",
        "train::inferer",
        "network_def",
    ),
    "inference": ("bundle_root", "device", "dataset_dir", "dataset", "evaluator", "network_def", "inferer"),
}
LARGEST_FILE = 10 * 2**20
EXPORTS = ("TorchScript", "ONNX")
STEPS = {
    "directory": ("name", "files", "large files"),
    "version": ("version", "changelog"),
    "metadata": ("metadata", "libraries"),
    "schema": ("schema file",),
    "verify_net_in_out": ("network",),
    "ckpt_export": ("export to TorchScript",),
    "onnx_export": ("export to ONNX",),
    "audit": ("ids of inference.json", "ids of train.json", "audit"),
}
"""Steps of the zoo's CI, by MONAI's own names, and the checks of each; the last is this project's."""


@dataclass(frozen=True)
class CheckRow:
    """One line of the table: what was checked, ``ok``, ``failed`` or ``skipped``, and what there is to say."""

    check: str
    status: str
    detail: str = ""


def check_bundle(
    bundle: str | Path, *, schema: str | Path | None = None, export: Sequence[str] = EXPORTS
) -> list[CheckRow]:
    """Check a bundle of one's own: its network is built, run and exported.

    Args:
        bundle: its folder.
        schema: file of MONAI's schema of metadata, to validate with it as well as with the rules kept here; None takes
            the copy in the cache folder, where there is one.
        export: of :data:`EXPORTS`, formats that the trained model is exported to, which takes some seconds each.

    Raises:
        BundleAuditError: there is no such folder, or its metadata or the schema cannot be read.
    """
    folder = Path(bundle)
    metadata = read_metadata(folder)
    rows = [
        _row("name", _name_problems(folder.resolve().name), folder.resolve().name),
        _row("files", [name for name in NEEDED_FILES if not (folder / name).is_file()], "all there"),
        _row("large files", _large_files(folder), "none beside the weights"),
        _row("metadata", metadata_problems(metadata), "as MONAI's schema asks"),
        _schema_row(metadata, schema),
        _row("version", version_problems(metadata), str(metadata.get("version"))),
        _row("changelog", changelog_problems(metadata), "tells of this version"),
        _row("libraries", _library_problems(metadata), "as installed here"),
    ]
    rows += [_row(f"ids of {name}.json", _missing_ids(folder, name), "all there") for name in NEEDED_CONFIGS]
    rows.append(_audit_row(folder))
    rows.append(_network_row(folder))
    rows += [_export_row(folder, kind, wanted=kind in export) for kind in EXPORTS]
    return rows


def as_table(rows: list[CheckRow]) -> str:
    """The rows as aligned text."""
    width = max(len(row.check) for row in rows)
    return "".join(f"{row.check:{width}s}  {row.status:7s}  {row.detail}".rstrip() + "\n" for row in rows)


def as_overview(tables: Mapping[str, list[CheckRow]]) -> str:
    """One line a bundle, one column a step of the zoo's CI: the worst of its checks, as aligned text.

    >>> print(as_overview({"tiny": [CheckRow("name", "ok"), CheckRow("files", "failed"), CheckRow("network", "ok")]}))
    bundle  directory  version  metadata  schema  verify_net_in_out  ckpt_export  onnx_export  audit
    tiny    failed     -        -         -       ok                 -            -            -
    """
    lines = [["bundle", *STEPS]]
    for name, rows in tables.items():
        found = {row.check: row.status for row in rows}
        steps = ([found[check] for check in checks if check in found] for checks in STEPS.values())
        lines.append([name, *map(_worst, steps)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _worst(found: list[str]) -> str:
    return next((status for status in ("failed", "skipped", "ok") if status in found), "-")


def _row(check: str, problems: list[str], fine: str) -> CheckRow:
    return CheckRow(check, "failed", "; ".join(problems)) if problems else CheckRow(check, "ok", fine)


def read_metadata(folder: Path) -> dict[str, Any]:
    """Content of its ``metadata.json``; see :func:`check_bundle` for errors."""
    path = folder / "configs" / "metadata.json"
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise BundleAuditError(
            f"Checking {folder}: {path} cannot be read ({error}). Name the folder of a bundle, with its configs."
        ) from error
    return content if isinstance(content, dict) else {}


def _name_problems(name: str) -> list[str]:
    return [] if re.fullmatch(r"[a-z][a-z0-9_]*", name) else [f"{name!r}: use small letters, digits, underscores"]


def _large_files(folder: Path) -> list[str]:
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size > LARGEST_FILE]
    listed = folder / "large_files.yml"
    text = listed.read_text(encoding="utf-8") if listed.is_file() else ""
    names = [path.relative_to(folder).as_posix() for path in found]
    return [name for name in names if not name.startswith("models/") and name not in text]


def _schema_row(metadata: dict[str, Any], schema: str | Path | None) -> CheckRow:
    file = kept_schema(metadata) if schema is None else schema
    if file is None:
        advice = "no copy is here: name one with --schema FILE, or fetch it once with --fetch-schema"
        return CheckRow("schema file", "skipped", f"{metadata.get('schema')}: {advice}")
    return _row("schema file", schema_problems(metadata, file), Path(file).name)


def _library_problems(metadata: dict[str, Any]) -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    named = {"monai": metadata.get("monai_version"), "torch": metadata.get("pytorch_version")}
    named |= {"numpy": metadata.get("numpy_version")} | dict(metadata.get("required_packages_version") or {})
    problems = []
    for package, wanted in named.items():
        try:
            here = version(package).split("+")[0]
        except PackageNotFoundError:
            problems.append(f"{package} is not installed")
            continue
        if wanted != here:
            problems.append(f"{package} {wanted} is named, {here} is installed")
    return problems


def _missing_ids(folder: Path, name: str) -> list[str]:
    for suffix in CONFIG_SUFFIXES:
        path = folder / "configs" / f"{name}{suffix}"
        if path.is_file():
            config = parse_config(path.read_bytes(), Reporter(path.name))
            return [place for place in NEEDED_IDS[name] if not _has(config, place)]
    return [f"there is no configs/{name}.json"]


def _has(config: Any, place: str) -> bool:
    for key in place.split("::"):
        if not isinstance(config, dict) or key not in config:
            return False
        config = config[key]
    return True


def _audit_row(folder: Path) -> CheckRow:
    """Computed targets are unknown to the audit, and become literal when the bundle is packed."""
    report = audit_bundle(folder)
    counts = ", ".join(f"{number} {level}" for level, number in report.counts().items() if number)
    return CheckRow("audit", "failed" if report.verdict == "refused" else "ok", counts or "no findings")


def _network_row(folder: Path) -> CheckRow:
    """Build the network and compare what it gives with the metadata; before a training, as ``train.json`` builds it.

    Of a trained bundle the zoo's CI asks ``inference.json``, whose network has the sizes that were trained.
    """
    candidates = [("train.json", "network_def"), ("train.json", "network_def::encoder")]
    if (folder / WEIGHTS).is_file():
        candidates = [("inference.json", "network_def")]
    found_problems = []
    for config, place in candidates:
        if not (folder / "configs" / config).is_file():
            continue
        problem = _problem_of(lambda config=config, place=place: _verify_network(folder, config, place))  # type: ignore[misc]
        if problem is None:
            return CheckRow("network", "ok", f"{place} of {config} takes and gives what the metadata says")
        found_problems.append(f"{place} of {config}: {problem}")
    return CheckRow("network", "failed", found_problems[0] if found_problems else "no config builds it")


def _verify_network(folder: Path, config: str, place: str) -> None:
    from monai.bundle import verify_net_in_out

    verify_net_in_out(
        net_id=place,
        meta_file=str(folder / "configs" / "metadata.json"),
        config_file=str(folder / "configs" / config),
        device="cpu",
        bundle_root=str(folder),
    )


def _export_row(folder: Path, kind: str, *, wanted: bool) -> CheckRow:
    check = f"export to {kind}"
    if not wanted:
        return CheckRow(check, "skipped", "left out with --no-export")
    if not (folder / WEIGHTS).is_file():
        return CheckRow(check, "skipped", f"there is no {WEIGHTS} yet: train first")
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / ("model.ts" if kind == "TorchScript" else "model.onnx")
        problem = _problem_of(lambda: _export(folder, kind, file))
        size = file.stat().st_size if file.is_file() else 0
    return CheckRow(check, "ok" if problem is None else "failed", problem or f"{size / 1e6:.1f} MB, which can be read")


def _export(folder: Path, kind: str, file: Path) -> None:
    from monai.bundle import ckpt_export, onnx_export

    export: Callable[..., None] = ckpt_export if kind == "TorchScript" else onnx_export
    export(
        net_id="network_def",
        filepath=str(file),
        ckpt_file=str(folder / WEIGHTS),
        meta_file=str(folder / "configs" / "metadata.json"),
        config_file=str(folder / "configs" / "inference.json"),
        bundle_root=str(folder),
    )
    if kind == "TorchScript":
        torch.jit.load(str(file), map_location="cpu")
        return
    import onnx

    onnx.checker.check_model(str(file))


def _problem_of(action: Callable[[], None]) -> str | None:
    """What went wrong in a function of MONAI, in one line; it is quiet meanwhile."""
    try:
        with _quiet():
            action()
    except Exception as error:  # whatever a bundle raises is a row of the table
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None


@contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
