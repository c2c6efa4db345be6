"""One process writes to a folder at a time; the lock of a dead one is gone."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from monai_ext.folder_lock import FolderInUseError, FolderLock, notes_of_holder


def test_a_second_lock_is_refused_until_the_first_is_given_back(tmp_path):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.acquire()
    with pytest.raises(FolderInUseError, match=f"in use by process {os.getpid()} on "):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    assert os.listdir(tmp_path) == []


def test_the_holder_may_ask_twice_and_leave_notes(tmp_path):
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.note(run_number=3)
    lock.acquire()
    assert notes_of_holder(tmp_path)["run_number"] == 3
    lock.release()
    assert notes_of_holder(tmp_path) == {}


def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    program = (
        "import sys; from monai_ext.folder_lock import FolderLock; lock = FolderLock(sys.argv[1]); lock.acquire(); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], **pipes) as process:
        process.stdout.readline()
        with pytest.raises(FolderInUseError, match=f"process {process.pid}"):
            FolderLock(tmp_path).acquire()
        process.send_signal(signal.SIGKILL)
    assert os.listdir(tmp_path) == [".lock"]
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock.release()


def test_a_forked_worker_does_not_keep_the_lock_of_its_parent(tmp_path):
    context = multiprocessing.get_context("fork")
    lock, ready, end = FolderLock(tmp_path), context.Event(), context.Event()
    lock.acquire()
    worker = context.Process(target=lambda: (ready.set(), end.wait()))
    worker.start()
    ready.wait()
    os.close(lock._descriptor)  # as the parent's death does
    lock._descriptor = None
    FolderLock(tmp_path).acquire()
    end.set()
    worker.join()


def test_who_waits_gets_the_lock_when_it_is_released_and_other_names_are_other_locks(tmp_path: Path) -> None:
    first, second, other = FolderLock(tmp_path), FolderLock(tmp_path), FolderLock(tmp_path, name=".other")
    first.acquire()
    other.wait(0)
    with pytest.raises(FolderInUseError, match="process"):
        second.wait(0)
    release = threading.Timer(0.3, first.release)
    release.start()
    second.wait(60)
    release.join()
    assert second.path.is_file()


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_somebody_put_in_the_place_of_the_lock_is_neither_followed_nor_waited_for(
    tmp_path: Path, kind: str
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("dear colleague")
    place = tmp_path / ".lock"
    place.symlink_to(letter) if kind == "link" else os.mkfifo(place)
    with pytest.raises(OSError, match=r"symbolic link|no file, but a pipe"):
        FolderLock(tmp_path).acquire()
    assert letter.read_text() == "dear colleague"


def test_a_lock_that_could_not_be_noted_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FolderLock(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(OSError, match="No space"):
            lock.acquire()
    FolderLock(tmp_path).acquire()


def test_the_lock_of_what_is_private_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        lock = FolderLock(tmp_path, owner_only=True)
        lock.acquire()
    finally:
        os.umask(before)
    assert lock.path.stat().st_mode & 0o777 == 0o600
    lock.release()
