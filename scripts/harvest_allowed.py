"""Write the audit's allow-list anew from the configs of bundles/: python scripts/harvest_allowed.py."""

import json
from pathlib import Path

from monai_ext.sharing.audit.allowed import ALLOWED_FILE, harvest

BUNDLES = Path(__file__).resolve().parents[1] / "bundles"


def main() -> None:
    """Write the file."""
    configs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(BUNDLES.glob("*/configs/*.json"))]
    text = json.dumps(harvest(configs).to_json(), indent=1) + "\n"
    ALLOWED_FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
