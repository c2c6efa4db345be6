"""What an ingestion did: every file is in it, as stored or with the reason why not, and the numbers add up."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from monai_ext.data.dicom.refusals import SkipReason
from monai_ext.data.ingestion.outcomes import STORED, Outcome
from monai_ext.errors import SliceStoreError
from monai_ext.files import write_durably

__all__ = ["IngestReport"]

_FINDINGS = {
    "gap": "series with missing slices",
    "duplicate_positions": "series with several slices at one position",
    "lossy_compression": "series with slices that were compressed with loss",
    "no_rescale": "series without a rescale, whose stored values were taken as they are",
    "variable_spacing": "series whose distance of slices varies",
}


@dataclass
class IngestReport:
    """Counts of an ingestion. It names no file and no patient, so it can be shown to anybody.

    Args:
        source_kind: ``"ct"``, ``"mr"`` or ``"picture"``.
        files: files below the source.
        stored: of these, how many are in the store, including those from earlier runs.
        skipped: of these, how many are not, by the code of the reason.
        missing_decoders: files whose compression nothing here decodes, by its name with what to install.
        looked_at: of these, how many were read in this run; the others were known.
        new_series: series that were added in this run (a large one counts once for each part).
        new_slices: slices that were added in this run.
        series: series in the store.
        slices: slices in the store.
        findings: series in the store by what is irregular about them.
        seconds: duration of this run.
    """

    source_kind: str
    files: int = 0
    stored: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    missing_decoders: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    new_series: int = 0
    new_slices: int = 0
    series: int = 0
    slices: int = 0
    findings: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def count(self, outcome: Outcome) -> None:
        """Enter what became of a file."""
        if outcome == STORED:
            self.stored += 1
        else:
            self.skipped[str(outcome)] += 1
        if outcome == SkipReason.MISSING_CODEC.value:
            self.missing_decoders[outcome.detail] += 1

    def check(self) -> None:
        """Make sure that every file is accounted for.

        Raises:
            SliceStoreError: the numbers do not add up.
        """
        if self.files != self.stored + sum(self.skipped.values()):
            raise SliceStoreError(
                f"The ingestion's report does not add up: {self.files} files, {self.stored} stored,"
                f" {sum(self.skipped.values())} skipped. Run it again, and please report it."
            )

    def save(self, file: Path) -> None:
        """Write the report as JSON."""
        write_durably(file, (self.to_json() + "\n").encode(), owner_only=True)

    def to_json(self) -> str:
        """The report as JSON, with a sentence for each reason."""
        sentences = {code: SkipReason(code).sentence for code in sorted(self.skipped)}
        return json.dumps(vars(self) | {"reasons": sentences}, indent=2)

    def to_table(self) -> str:
        """The report for people."""
        lines = [
            f"{self.files:>10,}  files",
            f"{self.stored:>10,}  stored",
            f"{sum(self.skipped.values()):>10,}  not stored:",
        ]
        for code, number in sorted(self.skipped.items(), key=lambda item: (-item[1], item[0])):
            lines.append(f"{number:>14,}  {code}: {SkipReason(code).sentence}")
            if code == SkipReason.MISSING_CODEC.value:
                lines += [f"{count:>18,}  {detail}" for detail, count in self.missing_decoders.most_common()]
        lines.append("")
        lines.append(f"{self.series:>10,}  series in the store ({self.new_series:,} new)")
        lines.append(f"{self.slices:>10,}  slices in the store ({self.new_slices:,} new)")
        for kind, number in sorted(self.findings.items()):
            lines.append(f"{number:>14,}  {_FINDINGS.get(kind, kind)}")
        rate = self.new_slices / self.seconds if self.seconds else 0.0
        lines.append("")
        lines.append(f"{self.looked_at:,} files were read in {self.seconds:.1f} s, {rate:.0f} slices a second")
        return "\n".join(lines)
