"""Every trick of hostile_bundles is refused, and nothing of it is run."""

import contextlib
import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from monai.bundle import ConfigParser

from helpers.hostile_bundles import Canary, honest_files, in_archives, in_files, write_folder, write_zip
from helpers.hostile_grammar import in_grammar, in_weights
from monai_ext.sharing.audit import Level, as_html, as_json, as_text, audit_bundle, config_text
from monai_ext.sharing.audit.findings import Reporter


def _tricks(canary: Canary) -> dict[str, dict[str, bytes]]:
    return in_files(canary) | in_grammar(canary) | in_weights(canary)


NAMES = list(_tricks(Canary(Path("x"), 1)))
WEAKER = {
    # these are unknown rather than dangerous: whoever audits has to look
    *("computed target", "target by reference", "bare function of MONAI as target", "alias bomb in YAML"),
    *("files fetched from elsewhere", "address in a config", "address put together"),
    *("overlay that changes what a macro means", "overlay that changes it by an id", "macro of two files"),
    *("reader put together", "loss that fetches code", "network that fetches weights"),
    *("pickles by arguments that are computed", "questioned class in an expression"),
    *("component that is an expression", "file opened behind a module"),
}


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        canary = Canary(tmp_path / "canary", server.getsockname()[1])
        yield canary
        assert not canary.file.exists(), "the payload was run"
        with pytest.raises(TimeoutError):
            server.accept()


def test_there_are_more_than_hundred_and_sixty_tricks() -> None:
    assert len(NAMES) + len(in_archives()) > 160


def test_the_bundle_that_tricks_are_added_to_passes(tmp_path: Path) -> None:
    for path in (write_folder(tmp_path / "bundle", {}), write_zip(tmp_path / "bundle.zip", {})):
        report = audit_bundle(path)
        assert report.findings == []
        assert report.exit_status == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_trick_in_a_file_is_refused_in_folder_and_zip(name: str, tmp_path: Path, canary: Canary) -> None:
    files = _tricks(canary)[name]
    for path in (write_folder(tmp_path / "bundle", files), write_zip(tmp_path / "bundle.zip", files)):
        report = audit_bundle(path)
        graver = [finding for finding in report.findings if finding.level > Level.NOTE]
        assert report.exit_status != 0
        assert {finding.file for finding in graver} & files.keys()
        assert report.verdict == "refused" or name in WEAKER
        assert all((as_text(report).encode(), as_html(report).encode(), as_json(report).encode()))


@pytest.mark.parametrize("name", list(in_archives()))
def test_a_trick_of_the_zip_is_refused(name: str, tmp_path: Path) -> None:
    path = in_archives()[name](write_zip(tmp_path / "bundle.zip", {}))
    assert audit_bundle(path).verdict == "refused"


def test_links_in_a_folder_are_refused_and_not_followed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "bundle", {})
    secret = tmp_path / "secret.json"
    secret.write_text('{"x": {"_target_": "os.system"}}')
    (folder / "configs" / "link.json").symlink_to(secret)
    report = audit_bundle(folder)
    assert [(finding.file, finding.rule) for finding in report.findings] == [("configs/link.json", "link")]


def test_any_cut_of_a_zip_is_refused_or_called_unreadable(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "bundle.zip", {}).read_bytes()
    for length in range(0, len(whole), 97):
        (tmp_path / "cut.zip").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="neither a folder nor a complete zip"):
            audit_bundle(tmp_path / "cut.zip")


def test_honest_files_are_what_the_tricks_replace() -> None:
    assert set(honest_files()) == {"configs/inference.json", "configs/metadata.json", "docs/README.md", "LICENSE"}


def packed_array(names: int, shape: tuple[int, ...]) -> bytes:
    """An ``.npz`` with arrays of zeros, which unpack to a thousand times their size."""
    with io.BytesIO() as buffer:
        numpy.savez_compressed(buffer, **{str(name): numpy.zeros(shape, numpy.uint8) for name in range(names)})
        return buffer.getvalue()


def huge_array() -> bytes:
    """An ``.npy`` whose header asks for more memory than there is."""
    with io.BytesIO() as buffer:
        numpy.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (2**42,)})
        return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("models/values.npz", packed_array(4, (2**22,)), "pickle"),
        ("models/values.npy", huge_array(), "pickle"),
        ("models/other.safetensors", (10**5).to_bytes(8, "little") + b"[" * 10**5, "weights-damaged"),
    ],
)
def test_what_would_take_all_memory_is_a_finding_and_no_crash(
    tmp_path: Path, name: str, content: bytes, rule: str
) -> None:
    bundle = write_folder(tmp_path / "bundle", {name: content})
    assert (name, rule) in {(finding.file, finding.rule) for finding in audit_bundle(bundle).findings}


def test_a_file_larger_than_any_weights_is_not_read(tmp_path: Path) -> None:
    bundle = write_folder(tmp_path / "bundle", {"models/sparse.safetensors": b""})
    with open(bundle / "models" / "sparse.safetensors", "wb") as file:
        file.truncate(2**40)
    (found,) = (finding for finding in audit_bundle(bundle).findings if finding.file == "models/sparse.safetensors")
    assert (found.rule, "at most" in found.reason) == ("damaged", True)


@pytest.mark.parametrize(
    "name", ["reference in a string makes it a format", "comment that is none", "config in an expression"]
)
def test_what_is_refused_would_have_run_in_monai(name: str, tmp_path: Path) -> None:
    canary = Canary(tmp_path / "canary", 1)
    config = json.loads(in_grammar(canary)[name]["configs/inference.json"])
    with contextlib.suppress(RuntimeError):
        ConfigParser(config).get_parsed_content("x")
    assert canary.file.exists()


def test_however_many_macros_there_are_a_config_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_through = []
    flattened = config_text.flattened
    monkeypatch.setattr(config_text, "flattened", lambda config: looked_through.append(config) or flattened(config))
    config = {"a": 1, **{f"b{number}": "%a" for number in range(20)}}
    resolved = config_text.resolve_macros(config, lambda file: [config], Reporter("configs/train.json"))
    assert set(resolved.values()) == {1}
    assert looked_through == [config]
