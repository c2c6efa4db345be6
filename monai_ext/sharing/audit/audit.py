"""Audit a bundle: every file and every value of every config, as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ext.errors import PackageError
from monai_ext.files import file_sha256
from monai_ext.sharing.audit.allowed import Allowed, known_to_be_allowed
from monai_ext.sharing.audit.config_text import CONFIG_SUFFIXES, parse_config, resolve_macros
from monai_ext.sharing.audit.differences import differences
from monai_ext.sharing.audit.findings import Finding, Level, Reporter
from monai_ext.sharing.audit.judging_configs import ConfigJudge
from monai_ext.sharing.audit.judging_files import judge_file, own_modules_of
from monai_ext.sharing.audit.report import AuditReport
from monai_ext.sharing.bundle_files import BundleFiles, open_bundle_files

__all__ = ["audit_bundle"]

_NO_OVERLAY = re.compile(r"(^|/)(metadata|manifest)\.json$|^models/")
"""What no run is started with."""
LARGE_FILES = ("large_files.yml", "large_files.yaml", "large_files.json")


def audit_bundle(path: str | Path, *, known: str | Path | None = None, allowed: Allowed | None = None) -> AuditReport:
    """Look through a bundle; nothing of it is imported, evaluated, unpickled, unpacked or followed.

    Args:
        path: its folder or zip.
        known: another bundle, of which every difference is listed.
        allowed: names that pass; those of this project's own bundles when omitted.

    Raises:
        PackageError: there is no such bundle, or the zip is damaged as a whole.
    """
    bundle = open_bundle_files(path)
    findings = [Finding(Level.REFUSED, name, "", rule, "", reason) for name, rule, reason in bundle.problems]
    configs, read = _read_configs(bundle, findings)
    judge = ConfigJudge(
        configs, allowed=allowed or known_to_be_allowed(), own_modules=own_modules_of(list(bundle.files))
    )
    for name in configs:
        findings += judge.judge(name).findings
    if not any(name.startswith("configs/") for name in configs):
        findings.append(
            Finding(Level.REFUSED, str(path), "", "no-bundle", "", "there is no config in a folder configs")
        )
    return AuditReport(
        path=str(path),
        sha256=file_sha256(path) if Path(path).is_file() else "",
        findings=sorted(findings + read, key=lambda finding: (-finding.level, finding)),
        inventory=judge.inventory.to_json(),
        files={file.name: file.size for file in bundle},
        differences=None if known is None else differences(open_bundle_files(known), bundle),
    )


def _read_configs(bundle: BundleFiles, findings: list[Finding]) -> tuple[dict[str, Any], list[Finding]]:
    """Configs with macros resolved, and the findings of all other files."""
    raw: dict[str, Any] = {}
    found: list[Finding] = []
    bombs = {finding.file for finding in findings if finding.rule == "zip-bomb"}
    for file in bundle:
        reporter = Reporter(file.name)
        if file.name in bombs or any(name.endswith(f"/{file.name}") for name in bombs):
            continue
        try:
            content = file.read()
            if file.name.lower().endswith(CONFIG_SUFFIXES):
                raw[file.name] = parse_config(content, reporter)
                if file.name.rpartition("/")[2].lower() in LARGE_FILES:
                    reporter.question(
                        "large-files", "it names files to fetch from elsewhere, which nothing here has looked at"
                    )
            else:
                reporter = judge_file(file.name, content)
        except PackageError as error:
            reporter.refuse("damaged", str(error))
        except (MemoryError, RecursionError) as error:
            reporter.refuse("damaged", f"it cannot be looked at to its end ({type(error).__name__})")
        found += reporter.findings
    readable = {name: config for name, config in raw.items() if config is not None}
    return _without_macros(readable, found), found


def _without_macros(configs: Mapping[str, Any], found: list[Finding]) -> dict[str, Any]:
    resolved = {}
    for name, config in configs.items():
        reporter = Reporter(name)
        resolved[name] = resolve_macros(config, lambda file, name=name: _named(configs, file, name), reporter)  # type: ignore[misc]
        found += reporter.findings
    return resolved


def _named(configs: Mapping[str, Any], file: str, beside: str) -> list[Any]:
    """Configs as a macro names one: from the bundle's folder, from its configs, or with the bundle's name in front."""
    if not file:
        return [config for name, config in configs.items() if not _NO_OVERLAY.search(name)]
    file = file.removeprefix("./")
    candidates = dict.fromkeys((file, f"{beside.rpartition('/')[0]}/{file}", f"configs/{file}", *_shortened(file)))
    found = [configs[candidate] for candidate in candidates if candidate in configs]
    if not found:
        raise KeyError(file)
    return found


def _shortened(file: str) -> list[str]:
    parts = file.split("/")
    return ["/".join(parts[start:]) for start in range(1, len(parts))]
