"""The report of an audit: as text for a terminal, JSON for programs, HTML for people."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from typing import Any

from monai_ext.foreign_text import printable
from monai_ext.sharing.audit.findings import Finding, Level

__all__ = ["SCHEMA", "AuditReport", "as_html", "as_json", "as_text"]

SCHEMA = "monai_ext bundle audit 1"
_TITLES = {
    Level.REFUSED: "Refused: do not run it",
    Level.UNKNOWN: "Unknown: somebody has to look",
    Level.NOTE: "Worth knowing",
}
_VERDICTS = {None: "passed", Level.NOTE: "passed", Level.UNKNOWN: "look", Level.REFUSED: "refused"}
_EXIT = {"passed": 0, "look": 1, "refused": 3}


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    Args:
        path: of the bundle.
        sha256: of the zip; empty for a folder.
        findings: the gravest first.
        inventory: targets, expressions, imports and addresses of all configs.
        files: size in bytes of each file.
        differences: from a known bundle, as (kind, file, id, known, here); None when none was named.
    """

    path: str
    sha256: str
    findings: list[Finding]
    inventory: dict[str, list[str]]
    files: dict[str, int]
    differences: list[tuple[str, str, str, str, str]] | None = field(default=None)

    @property
    def verdict(self) -> str:
        """``passed``, ``look`` (something is unknown), or ``refused``."""
        return _VERDICTS[max((finding.level for finding in self.findings), default=None)]

    @property
    def exit_status(self) -> int:
        """For scripts: 0 passed, 1 look, 3 refused (2 is kept for what could not be audited)."""
        return _EXIT[self.verdict]

    def counts(self) -> dict[str, int]:
        """Number of findings of each level."""
        return {level.name.lower(): sum(f.level == level for f in self.findings) for level in reversed(Level)}


def as_json(report: AuditReport) -> str:
    """Stable: keys are only ever added while ``schema`` stays."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "path": report.path,
        "sha256": report.sha256,
        "verdict": report.verdict,
        "counts": report.counts(),
        "findings": [vars(finding) | {"level": finding.level.name.lower()} for finding in report.findings],
        "files": report.files,
        "inventory": report.inventory,
        "differences": report.differences and [dict(zip(_COLUMNS, row, strict=True)) for row in report.differences],
    }
    return json.dumps(content, indent=2) + "\n"


_COLUMNS = ("kind", "file", "id", "known", "here")


def as_text(report: AuditReport) -> str:
    """For a terminal: what to decide on first."""
    lines = [f"{report.path}: {report.verdict} ({len(report.files)} files, {_counts_text(report.counts())})"]
    for level in reversed(Level):
        found = [finding for finding in report.findings if finding.level == level]
        lines += ["", _TITLES[level]] if found else []
        for finding in found:
            lines.append(f"  {_where(finding)}  [{finding.rule}] {finding.text}".rstrip())
            lines.append(f"      {finding.reason}")
    if report.differences is not None:
        lines += ["", f"Differences from the known bundle: {len(report.differences) or 'none'}"]
        lines += [
            f"  {kind} {file} {place}: {known} -> {here}" for kind, file, place, known, here in report.differences
        ]
    return "\n".join(map(printable, lines)) + "\n"


def _counts_text(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number) or "no findings"


def _where(finding: Finding) -> str:
    return f"{finding.file}  {finding.place}" if finding.place else finding.file


def as_html(report: AuditReport) -> str:
    """One page that opens offline; nothing of the bundle gets into it unescaped."""
    rows = "".join(
        f'<tr class="{finding.level.name.lower()}"><td>{finding.level.name.lower()}</td>'
        + "".join(f"<td>{_escaped(value)}</td>" for value in (finding.file, finding.place, finding.rule))
        + f"<td><code>{_escaped(finding.text)}</code><br>{_escaped(finding.reason)}</td></tr>"
        for finding in report.findings
    )
    parts = [
        f'<p class="verdict {report.verdict}">{report.verdict}</p>',
        f"<p>{_escaped(report.path)}<br>{report.sha256 and 'SHA-256 ' + report.sha256}</p>",
        f"<table><tr><th>level</th><th>file</th><th>place</th><th>rule</th><th>what and why</th></tr>{rows}</table>"
        if rows
        else "<p>No findings.</p>",
        _differences(report),
    ]
    parts += [_listing(name, values) for name, values in report.inventory.items()]
    parts.append(_listing("files", [f"{name} ({size:,} bytes)" for name, size in report.files.items()]))
    return _PAGE.format(title=_escaped(f"Audit of {report.path}"), body="\n".join(parts))


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _differences(report: AuditReport) -> str:
    if report.differences is None:
        return ""
    rows = "".join(
        "<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>" for row in report.differences
    )
    head = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    return f"<h2>Differences from the known bundle</h2><table><tr>{head}</tr>{rows}</table>"


def _listing(name: str, values: list[str]) -> str:
    items = "".join(f"<li><code>{_escaped(value)}</code></li>" for value in values)
    return f"<details><summary>{len(values)} {_escaped(name)}</summary><ul>{items}</ul></details>"


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #1d2733 }}
table {{ border-collapse: collapse; width: 100%; margin: 1rem 0 }}
td, th {{ border-bottom: 1px solid #d5dbe1; padding: .4rem .6rem; text-align: left; vertical-align: top }}
code {{ font: 13px ui-monospace, monospace; overflow-wrap: anywhere }}
.verdict {{ display: inline-block; padding: .3rem 1rem; border-radius: .4rem; font-weight: 600; color: #fff }}
.passed {{ background: #1a7f4b }} .look {{ background: #a86400 }} p.refused {{ background: #b3261e }}
tr.refused td:first-child {{ color: #b3261e; font-weight: 600 }} tr.unknown td:first-child {{ color: #a86400 }}
details {{ margin: .5rem 0 }}
</style>
<h1>{title}</h1>
{body}
</html>
"""
