from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from monai_ext.tracking.process_identity import is_gone, process_identity


def test_this_process_is_alive() -> None:
    assert not is_gone(process_identity())


def test_an_identity_names_neither_host_nor_user() -> None:
    import getpass
    import platform

    assert platform.node() not in process_identity()
    assert getpass.getuser() not in process_identity()


def test_a_process_that_ended_is_gone() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert is_gone(process_identity().replace(f"/{os.getpid()}/", f"/{child.pid}/"))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to tell when a process began")
def test_another_process_with_the_same_number_does_not_count() -> None:
    identity, _, started = process_identity().rpartition("/")
    assert is_gone(f"{identity}/{int(started) - 1}")


def test_a_boot_ago_everything_is_gone() -> None:
    machine, _, *rest = process_identity().split("/")
    assert is_gone("/".join([machine, "another", *rest]))


@pytest.mark.parametrize("identity", ["", "x", "x/y/z", "0123456789abcdef/a/1/2"])
def test_nothing_is_claimed_of_other_machines_or_of_other_tags(identity: str) -> None:
    assert not is_gone(identity)
