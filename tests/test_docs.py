"""The pages tell the truth about where things lie: every file and every name of the package that they name exists."""

from __future__ import annotations

import ast
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


def lost_names(text: str) -> list[str]:
    """Names of the package in a text that do not exist; tags of MLflow look like such names."""
    tags = "".join(
        file.read_text(encoding="utf-8")
        for file in [*(ROOT / "monai_ext" / "tracking").glob("*.py"), ROOT / "monai_ext" / "study" / "tracking.py"]
    )
    names = set(re.findall(r"(?<![\w./])monai_ext(?:\.\w+)+", text))
    return sorted(name for name in names if f'"{name}' not in tags and not exists(name))


def exists(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        break
    for part in parts[length:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_names_of_the_package_that_a_page_uses_exist(page: Path) -> None:
    assert not lost_names((ROOT / page).read_text(encoding="utf-8"))


def test_names_of_the_package_that_messages_and_docstrings_tell_exist() -> None:
    lost = {
        str(file.relative_to(ROOT)): names
        for file in (ROOT / "monai_ext").rglob("*.py")
        if (names := lost_names("\n".join(texts_of(file))))
    }
    assert not lost


def texts_of(file: Path) -> list[str]:
    constants = (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Constant))
    return [node.value for node in constants if isinstance(node.value, str)]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert not [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
