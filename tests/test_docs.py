"""The pages tell the truth about where things lie: every file and every name of the package that they name exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "docs/results/*.md", "bundles/*/docs/README.md")
    for path in ROOT.glob(pattern)
)
MADE_BY_RUNNING = ("models/", "eval/", "predictions/", "build/", ".venv/")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_files_that_a_page_names_exist(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(
        re.findall(r"(?<![\w./])((?:monai_ext|tests|benchmarks|scripts|examples|studies|docs)/[\w/.-]+\.\w+)", text)
    )
    named |= {f"monai_ext/{name}" for name in re.findall(r"`((?:networks|data|engines|handlers)/[\w/]+\.py)`", text)}
    missing = sorted(
        name for name in named if not (ROOT / name).exists() and not any(m in name for m in MADE_BY_RUNNING)
    )
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_names_of_the_package_that_a_page_uses_exist(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    tags = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "monai_ext" / "tracking").glob("*.py"))
    for name in sorted(set(re.findall(r"\bmonai_ext(?:\.\w+)+", text))):
        if f'"{name}' in tags:
            continue
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            try:
                found: object = importlib.import_module(".".join(parts[:length]))
            except ImportError:
                continue
            break
        for part in parts[length:]:
            assert hasattr(found, part), f"{name} is named in {page}, but does not exist"
            found = getattr(found, part)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
