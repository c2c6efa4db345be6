"""Look through a bundle from somebody else, without executing anything of it."""

from monai_ext.sharing.audit.audit import audit_bundle
from monai_ext.sharing.audit.findings import Finding, Level
from monai_ext.sharing.audit.report import AuditReport, as_html, as_json, as_text

__all__ = ["AuditReport", "Finding", "Level", "as_html", "as_json", "as_text", "audit_bundle"]
