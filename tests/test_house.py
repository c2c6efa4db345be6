"""The rooms of the package: imports point down, no packages form a ring, every room says what lives there."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "monai_ext"

FLOORS = (
    {"errors", "files", "folder_lock", "foreign_text", "locations", "running_config", "torch_files"},
    {"parallel"},
    {"transforms", "losses", "optimizers", "inferers", "decoders"},
    {"networks", "metrics", "data"},
    {"engines"},
    {"handlers", "tracking", "embedding", "checks"},
    {"bundle"},
    {"study", "sharing"},
    {"cli"},
    {"__main__"},
)
"""Who may import whom: a room imports rooms of its own floor and of the floors before it."""

FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported_modules(file: Path) -> Iterator[str]:
    """Modules of the package that a file imports, wherever in the file it does."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and not node.level:
            yield from [node.module or ""] + [f"{node.module}.{name.name}" for name in node.names]
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def room_of(parts: tuple[str, ...], depth: int) -> str | None:
    """The room of a module at a depth: folders as they are, a file alone is a room of its own."""
    return parts[depth].removesuffix(".py") if len(parts) > depth else None


def arrows(folder: Path) -> dict[str, dict[str, set[str]]]:
    """Importing room -> imported room -> the files that do it, for the rooms of one folder."""
    prefix = (*folder.relative_to(PACKAGE.parent).parts,)
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for file in folder.rglob("*.py"):
        parts = file.relative_to(folder).parts
        if parts == ("__init__.py",):
            continue
        room = room_of(parts, 0)
        for module in imported_modules(file):
            names = tuple(module.split("."))
            if names[: len(prefix)] != prefix or len(names) == len(prefix):
                continue
            target = names[len(prefix)]
            exists = (folder / target).is_dir() or (folder / f"{target}.py").is_file()
            if exists and target != room:
                found[str(room)][target].add(str(file.relative_to(PACKAGE)))
    return found


def in_a_ring(found: dict[str, dict[str, set[str]]]) -> list[str]:
    def reachable(room: str, seen: set[str]) -> set[str]:
        for other in found.get(room, {}):
            if other not in seen:
                seen.add(other)
                reachable(other, seen)
        return seen

    return sorted(room for room in list(found) if room in reachable(room, set()))


def rooms() -> list[Path]:
    return sorted(file.parent for file in PACKAGE.rglob("__init__.py"))


def test_every_room_stands_on_a_floor() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert entries - {"__init__"} <= set(FLOOR_OF), "name the floor of a new room in FLOORS and in docs/design.md"


def test_imports_point_down() -> None:
    upwards = [
        f"{room} -> {target} ({', '.join(sorted(files))})"
        for room, targets in arrows(PACKAGE).items()
        for target, files in targets.items()
        if FLOOR_OF[target] > FLOOR_OF[room]
    ]
    assert not upwards, f"imports that point up: {upwards}"


@pytest.mark.parametrize("folder", [PACKAGE, PACKAGE / "networks", PACKAGE / "data"], ids=lambda path: path.name)
def test_no_rooms_import_each_other_in_a_ring(folder: Path) -> None:
    assert not in_a_ring(arrows(folder))


def test_every_folder_of_code_is_a_package_that_says_what_lives_there() -> None:
    folders = {file.parent for file in PACKAGE.rglob("*.py")}
    assert folders == set(rooms())
    silent = [str(room) for room in rooms() if not ast.get_docstring(ast.parse((room / "__init__.py").read_text()))]
    assert not silent


@pytest.mark.parametrize("room", rooms(), ids=lambda path: path.relative_to(PACKAGE.parent).as_posix())
def test_no_room_is_a_corridor(room: Path) -> None:
    assert len(list(room.glob("*.py"))) <= 31
