"""Sending to and receiving from DICOM nodes on this machine: pynetdicom's, DCMTK's, with the accidents of a network."""

import errno
import io
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest

from helpers.dicom_files import ct_slice, write
from helpers.trained_bundle import write_trained_bundle
from monai_ext.cli import main
from monai_ext.errors import PacsError
from monai_ext.sharing.bundle_files import open_bundle_files
from monai_ext.sharing.infer import listening
from monai_ext.sharing.infer.answering import Network, answer_folder
from monai_ext.sharing.infer.dicom_objects import dicom_objects
from monai_ext.sharing.infer.listening import Receiver
from monai_ext.sharing.infer.pacs import PacsAddress, parse_address, send_objects
from monai_ext.sharing.infer.service import Service
from monai_ext.sharing.trained_classifier import read_trained_classifier

pytest.importorskip("highdicom")
pynetdicom = pytest.importorskip("pynetdicom")
needs_dcmtk = pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    return read_trained_classifier(open_bundle_files(write_trained_bundle(tmp_path_factory.mktemp("bundle"))))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    generator = np.random.default_rng(0)
    for number in range(4):
        values = (300 + 900 * generator.random((24, 20))).astype(np.uint16)
        write(ct_slice(2.5 * number, series="sent", values=values), folder / f"{number}.dcm")
    return folder


@pytest.fixture(scope="module")
def contents(model, series: Path) -> list[bytes]:
    return [content for _, content in dicom_objects(answer_folder(model, series), Network(model))[0]]


@contextmanager
def _node(take, **options) -> Iterator[PacsAddress]:
    entity = pynetdicom.AE(ae_title="ARCHIVE")
    for context in pynetdicom.AllStoragePresentationContexts:
        entity.add_supported_context(context.abstract_syntax)
    for name, value in options.items():
        setattr(entity, name, value)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(pynetdicom.evt.EVT_C_STORE, take)])
    try:
        yield PacsAddress("ARCHIVE", "127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_an_address_has_a_title_a_host_and_a_port() -> None:
    assert parse_address("A@[::1]:104") == PacsAddress("A", "::1", 104)
    for wrong in ("host:104", "A@host", "A@host:0", "A@host:99999", "SEVENTEEN_LETTERS@h:1", ""):
        with pytest.raises(PacsError, match="AE@HOST:PORT"):
            parse_address(wrong)


def test_all_objects_arrive_once(contents: list[bytes]) -> None:
    taken = []

    def take(event):
        taken.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    with _node(take) as address:
        assert send_objects(contents, address) == 2
    assert len(set(taken)) == len(taken) == 2


def test_a_dropped_association_is_opened_again_and_nothing_is_sent_twice(contents: list[bytes]) -> None:
    taken = []

    def take(event):
        if len(taken) == 1 and not dropped:
            dropped.append(True)
            event.assoc.abort()
            return 0xC000
        taken.append(str(event.request.AffectedSOPInstanceUID))
        return 0x0000

    dropped: list[bool] = []
    with _node(take) as address:
        assert send_objects(contents, address) == 2
    assert dropped
    assert len(set(taken)) == len(taken) == 2


def test_a_full_a_refusing_and_an_absent_pacs_are_named(contents: list[bytes]) -> None:
    with _node(lambda event: 0xA700) as address, pytest.raises(PacsError, match=r"took 0 of 2.*its disk is full"):
        send_objects(contents, address)
    with _node(lambda event: 0x0122) as address, pytest.raises(PacsError, match=r"refused an object .status 0122"):
        send_objects(contents, address)
    refusing = {"require_calling_aet": ["SOMEBODY"]}
    with _node(lambda event: 0, **refusing) as address, pytest.raises(PacsError, match="rejected the association"):
        send_objects(contents, address)
    with pytest.raises(PacsError, match="does not answer there"):
        send_objects(contents, PacsAddress("ARCHIVE", "127.0.0.1", _free_port()))


@needs_dcmtk
def test_dcmtk_stores_what_is_sent(contents: list[bytes], tmp_path: Path) -> None:
    port = _free_port()
    command = ["storescp", "-od", str(tmp_path), "-aet", "ARCHIVE", "+xa", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(port)
            assert send_objects(contents, PacsAddress("ARCHIVE", "127.0.0.1", port)) == 2
        finally:
            server.terminate()
    stored = [pydicom.dcmread(path) for path in tmp_path.iterdir()]
    assert {dataset.Modality for dataset in stored} == {"SR", "OT"}


def _wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            probe.settimeout(0.1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.05)
    pytest.fail("the server did not start")


def _send(folder: Path, port: int, *, title: str = "MONAI_EXT", abort: bool = False) -> list[int]:
    entity = pynetdicom.AE(ae_title="SCANNER")
    entity.add_requested_context("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", port, ae_title=title)
    if not association.is_established:
        return []
    statuses = [association.send_c_store(pydicom.dcmread(path)).get("Status", -1) for path in sorted(folder.iterdir())]
    association.abort() if abort else association.release()
    return statuses


class _Served:
    """A receiver with a service behind it, until a number of outcomes was told."""

    def __init__(self, folder: Path, model, **options) -> None:
        self.receiver = Receiver(folder, **options)
        self.stop = threading.Event()
        self.reported: list = []
        self.service = Service(model)

    @contextmanager
    def running(self) -> Iterator[int]:
        worker = threading.Thread(
            target=self.service.answer_arrivals, args=(self.receiver, self.stop, self.reported.append)
        )
        with self.receiver.listening("127.0.0.1", 0) as port:
            worker.start()
            try:
                yield port
            finally:
                self.receiver_is_idle()
                self.stop.set()
                worker.join(120)

    def receiver_is_idle(self) -> None:
        for _ in range(200):
            if not self.receiver._folders:
                return
            threading.Event().wait(0.05)


def test_a_series_that_is_sent_is_answered_and_nothing_of_it_is_kept(model, series: Path, tmp_path: Path) -> None:
    served = _Served(tmp_path / "out", model)
    with served.running() as port:
        assert _send(series, port) == [0, 0, 0, 0]
    [outcome] = served.reported
    assert len(outcome.answers.series[0].slices) == 4
    assert (outcome.folder / "dicom" / "series_001_report.dcm").is_file()
    assert not [*(tmp_path / "out" / "incoming").iterdir(), *(tmp_path / "out" / "arrived").iterdir()]


def test_what_arrived_before_a_kill_is_answered_by_the_next_process(model, series: Path, tmp_path: Path) -> None:
    """Its sender was told that it was taken, and may have deleted it."""
    out = tmp_path / "out"
    shutil.copytree(series, out / "arrived" / "000001")
    shutil.copytree(series, out / "incoming" / "000002")
    (out / "answers" / "000001").mkdir(parents=True)
    (out / "answers" / "000001" / "answers.json").write_text("from the process that was killed")
    served = _Served(out, model)
    with served.running() as port:
        assert _send(series, port) == [0, 0, 0, 0]
    assert [outcome.folder.name for outcome in served.reported] == ["000001", "000003"]
    assert json.loads((out / "answers" / "000001" / "answers.json").read_text())["files"]["outcomes"] == {"answered": 4}
    assert len(list((out / "incomplete" / "000002").iterdir())) == 4
    assert not [*(out / "arrived").iterdir(), *(out / "incoming").iterdir()]


def test_two_processes_cannot_listen_in_one_folder(tmp_path: Path) -> None:
    with Receiver(tmp_path).listening("127.0.0.1", 0), pytest.raises(PacsError, match="in use by process"):
        Receiver(tmp_path).listening("127.0.0.1", 0).__enter__()


def test_an_error_that_nobody_foresaw_does_not_end_the_listening(
    model, series: Path, tmp_path: Path, monkeypatch
) -> None:
    answer, calls = Service.answer, []

    def fail_once(self, *arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("shapes cannot be multiplied")
        return answer(self, *arguments)

    monkeypatch.setattr(Service, "answer", fail_once)
    served = _Served(tmp_path / "out", model)
    with served.running() as port:
        _send(series, port)
        _send(series, port)
    assert "shapes cannot be multiplied What arrived is kept in" in served.reported[0]
    assert len(served.reported[1].answers.series[0].slices) == 4


@needs_dcmtk
def test_dcmtk_sends_to_it(model, series: Path, tmp_path: Path) -> None:
    served = _Served(tmp_path / "out", model)
    with served.running() as port:
        command = ["storescu", "-aec", "MONAI_EXT", "127.0.0.1", str(port), *map(str, sorted(series.iterdir()))]
        subprocess.run(command, check=True, capture_output=True)
    assert len(served.reported[0].answers.series[0].slices) == 4


def test_half_a_series_of_a_dropped_association_is_kept_and_not_answered(model, series: Path, tmp_path: Path) -> None:
    served = _Served(tmp_path / "out", model)
    with served.running() as port:
        _send(series, port, abort=True)
    assert served.reported == []
    assert len(list((tmp_path / "out" / "incomplete" / "000001").iterdir())) == 4
    assert Receiver(tmp_path / "out")._number == 1


def test_a_full_disk_is_told_to_the_sender(model, series: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(listening, "write_durably", full)
    served = _Served(tmp_path / "out", model)
    with served.running() as port:
        assert _send(series, port) == [0xA700] * 4
    assert "There is no CT series" in served.reported[0]


def test_only_who_is_accepted_and_calls_it_by_its_title_may_send(model, series: Path, tmp_path: Path) -> None:
    served = _Served(tmp_path / "a", model, accepted=("SOMEBODY",))
    with served.running() as port:
        assert _send(series, port) == []
    served = _Served(tmp_path / "b", model)
    with served.running() as port:
        assert _send(series, port, title="OTHER") == []


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listening_there = Receiver(tmp_path).listening("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(PacsError, match="cannot be listened on"):
            listening_there.__enter__()


@pytest.mark.skipif(shutil.which("Orthanc") is None, reason="Orthanc is not installed")
def test_orthanc_stores_what_is_sent(contents: list[bytes], tmp_path: Path) -> None:
    port = _free_port()
    settings = {"StorageDirectory": str(tmp_path / "db"), "IndexDirectory": str(tmp_path / "db"), "Plugins": []}
    settings |= {"DicomPort": port, "DicomAet": "ARCHIVE", "HttpServerEnabled": False, "DicomAlwaysAllowStore": True}
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    command = ["Orthanc", str(tmp_path / "orthanc.json")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path) as server:
        try:
            _wait_for(port)
            assert send_objects(contents, PacsAddress("ARCHIVE", "127.0.0.1", port)) == 2
        finally:
            server.terminate()
    stored = [path.read_bytes() for path in (tmp_path / "db").rglob("*") if path.is_file()]
    wanted = [str(pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID).encode() for content in contents]
    assert all(any(uid in content for content in stored) for uid in wanted)


def test_the_command_listens_answers_and_ends_when_asked(series: Path, tmp_path: Path) -> None:
    bundle = write_trained_bundle(tmp_path / "bundle")
    command = [sys.executable, "-m", "monai_ext", "infer", str(bundle), str(tmp_path / "out")]
    process = subprocess.Popen(
        [*command, "--listen", "0", "--ae-title", "ANSWERS"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        first = process.stdout.readline()
        found = re.fullmatch(r"Listening as ANSWERS on port (\d+); end with Ctrl-C\.\n", first)
        assert found, first + process.stdout.read()
        sent = [file.read_bytes() for file in sorted(series.iterdir())]
        assert send_objects(sent, PacsAddress("ANSWERS", "127.0.0.1", int(found[1]))) == 4
        said = [process.stdout.readline() for _ in range(2)]
        assert "study" in said[1]
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 0, rest
    content = json.loads((tmp_path / "out" / "answers" / "000001" / "answers.json").read_text())
    assert content["files"]["outcomes"] == {"answered": 4}
    assert sorted(path.name for path in (tmp_path / "out" / "answers" / "000001" / "dicom").iterdir()) == [
        "series_001_page.dcm",
        "series_001_report.dcm",
    ]
    assert not [*(tmp_path / "out" / "incoming").iterdir(), *(tmp_path / "out" / "arrived").iterdir()]


@pytest.mark.parametrize("port", ["one", "127.0.0.1:", "70000"])
def test_a_port_that_is_none_is_refused(tmp_path: Path, capsys, port: str) -> None:
    bundle = write_trained_bundle(tmp_path / "bundle")
    assert main(["infer", str(bundle), str(tmp_path / "out"), "--listen", port]) == 2
    assert "port" in capsys.readouterr().err.lower()
