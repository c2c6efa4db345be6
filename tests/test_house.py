"""The rooms of the package: imports point down and form no ring, every room says what lives there and has its tests."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "monai_ext"

FLOORS = (
    {"errors", "files", "folder_lock", "foreign_text", "locations", "running_config", "torch_files"},
    {"parallel"},
    {"transforms", "losses", "optimizers", "inferers", "decoders"},
    {"networks", "metrics", "data"},
    {"engines"},
    {"handlers", "tracking", "embedding", "checks"},
    {"bundle"},
    {"study", "sharing", "federated"},
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


SAYS_NOTHING = {"one", "told", "given", "twins", "without_twins"}
"""Names that were replaced, since they say of a value how it is spoken of and not what it is."""


def names_made_in(file: Path) -> set[str]:
    """Variables, parameters, attributes, functions and classes that a file makes; imported names are not its own."""
    made: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            made.add(node.attr)
    return made


def test_names_say_what_a_value_is() -> None:
    folders = [PACKAGE, TESTS, *(PACKAGE.parent / name for name in ("benchmarks", "docs", "examples", "scripts"))]
    bad = {
        str(file.relative_to(PACKAGE.parent)): sorted(found)
        for folder in folders
        for file in folder.rglob("*.py")
        if (found := {name for name in names_made_in(file) if name.strip("_").lower() in SAYS_NOTHING})
    }
    assert not bad


TESTED_THROUGH = {
    # Commands parse, call and print; they are run as commands, beside what they call.
    "cli/_bundle/*": "cli/_bundle/test_sign.py",
    "cli/_classifier": "sharing/infer/test_explanation.py",
    "cli/_columns": "cli/test_embed.py",
    "cli/_explain/*": "cli/test_explain.py",
    "cli/_parser": "cli/test_help.py",
    # Parts of reading that are told from each other by the files that they read.
    "data/dicom/*": "data/dicom/test_series.py",
    "data/labelled/labels": "data/labelled/test_images.py",
    "data/labelled/sections": "data/labelled/test_labelled_sections.py",
    "data/public/catalog": "data/public/test_get.py",
    "data/sources/source": "data/sources/test_open.py",
    "data/sources/volume_file": "data/sources/test_nifti.py",
    "data/store/format": "data/store/test_writer.py",
    "decoders/*": "decoders/test_isolated.py",
    "embedding/slices": "embedding/test_feature_table.py",
    # Values that handlers and engines hand to each other.
    "engines/events": "handlers/test_training_checkpoint.py",
    "handlers/checkpoint_files": "handlers/test_training_checkpoint.py",
    "handlers/classification_files": "handlers/test_classification_results.py",
    "handlers/evaluation_summary": "handlers/test_knn_monitor.py",
    "inferers/encoder_features": "engines/test_feature_evaluator.py",
    "metrics/classification_scores": "metrics/test_group_bootstrap.py",
    "metrics/operating_point": "metrics/test_classification.py",
    # Backends and parts of one method are held to each other in its test.
    "networks/checkpoint_mark": "networks/weights/test_encoder.py",
    "networks/encoder": "networks/spark/test_spark.py",
    "networks/spark/*": "networks/spark/test_spark.py",
    # An audit is judged by whole bundles, a package by packing and opening it.
    "sharing/audit/*": "sharing/audit/test_audit.py",
    "sharing/infer/*": "sharing/infer/test_answering.py",
    "sharing/sandbox/limits": "sharing/sandbox/test_safe_run.py",
    "sharing/package_file": "sharing/test_verification.py",
    "sharing/*": "sharing/test_pack.py",
    # A study is judged by what it leaves.
    "study/cells/*": "study/test_runner.py",
    "study/executors/*": "study/test_runner.py",
    "study/plan/*": "study/plan/test_reading.py",
    "study/protocols/*": "study/test_runner.py",
    "study/records/*": "study/test_runner.py",
    "study/report/*": "study/report/test_writing.py",
    "study/statistics/scored_cells": "study/statistics/test_comparison.py",
    "study/tasks/*": "study/test_preparation.py",
    "study/*": "cli/test_study.py",
    "tracking/run": "tracking/test_tracker.py",
}
"""Sources without a test of their name, by the first pattern that fits, and the test that goes through them."""


def has_a_test_of_its_name(source: Path) -> bool:
    return (TESTS / source.parent / f"test_{source.name.lstrip('_')}").is_file()


def sources_that_are_no_mere_part() -> list[Path]:
    """What a room exports, or other rooms import; other files are parts of their room and are tested through it."""
    files = [file.relative_to(PACKAGE) for file in PACKAGE.rglob("*.py") if not file.name.startswith("__")]
    users: dict[Path, set[Path]] = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        for module in imported_modules(file):
            users[Path("/".join(module.split(".")[1:]) + ".py")].add(file.relative_to(PACKAGE))
    return [
        file
        for file in sorted(files)
        if any(user.parent != file.parent or user.name == "__init__.py" for user in users[file])
    ]


def through(source: Path) -> str | None:
    """The pattern of ``TESTED_THROUGH`` that a source falls under."""
    return next((pattern for pattern in TESTED_THROUGH if source.with_suffix("").match(pattern)), None)


def test_tests_mirror_the_tree() -> None:
    untested = [file for file in sources_that_are_no_mere_part() if not has_a_test_of_its_name(file)]
    lost = [str(file) for file in untested if through(file) is None]
    assert not lost, f"sources without a test of their name: {lost}"
    idle = set(TESTED_THROUGH) - {through(file) for file in untested}
    assert not idle, f"exceptions that nothing needs any more: {idle}"


def test_the_tests_that_exceptions_name_exist() -> None:
    assert not [test for test in TESTED_THROUGH.values() if not (TESTS / test).is_file()]
