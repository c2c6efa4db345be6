import json
from pathlib import Path

from helpers.hostile_bundles import write_folder
from monai_ext.sharing.audit import as_html, as_json, as_text, audit_bundle


def _bundle(folder: Path, name: str, config: dict) -> Path:
    return write_folder(folder / name, {"configs/train.json": json.dumps(config).encode()})


def test_json_has_the_keys_that_programs_rely_on(tmp_path: Path) -> None:
    content = json.loads(as_json(audit_bundle(_bundle(tmp_path, "a", {"x": {"_target_": "os.system"}}))))
    assert list(content) == [
        *("schema", "path", "sha256", "verdict", "counts", "findings", "files", "inventory", "differences"),
    ]
    assert content["verdict"] == "refused"
    assert content["counts"] == {"refused": 1, "unknown": 0, "note": 0}
    assert content["findings"] == [
        {
            "level": "refused",
            "file": "configs/train.json",
            "place": "x::_target_",
            "rule": "dangerous-name",
            "text": "os.system",
            "reason": "the module runs code, changes files, or reaches the network",
        }
    ]
    assert "os.system" in content["inventory"]["targets"]


def test_nothing_of_the_bundle_reaches_the_page_or_the_terminal_as_code(tmp_path: Path) -> None:
    report = audit_bundle(_bundle(tmp_path, "a", {"x": {"_target_": "<script>alert(1)</script>\x1b[2J"}}))
    assert "<script>" not in as_html(report)
    assert "&lt;script&gt;" in as_html(report)
    assert "\x1b" not in as_text(report)


def test_differences_from_a_known_bundle_are_files_and_values(tmp_path: Path) -> None:
    known = _bundle(tmp_path, "known", {"epochs": 3, "seed": 0})
    here = _bundle(tmp_path, "here", {"epochs": 4, "seed": 0, "more": [1]})
    (here / "docs" / "new.md").write_text("new")
    (here / "LICENSE").write_text("other")
    report = audit_bundle(here, known=known)
    assert report.differences is not None
    assert [row[:3] for row in report.differences] == [
        ("changed", "LICENSE", ""),
        ("changed", "configs/train.json", "epochs"),
        ("added", "configs/train.json", "more::0"),
        ("added", "docs/new.md", ""),
    ]
    assert report.differences[1][3:] == ("3", "4")
    assert "epochs: 3 -> 4" in as_text(report)
    assert audit_bundle(known, known=known).differences == []


def test_a_folder_without_configs_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    assert [finding.rule for finding in audit_bundle(tmp_path).findings] == ["no-bundle"]
