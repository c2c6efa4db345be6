"""Tell whether the process that began a run still lives."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

import psutil

__all__ = ["PROCESS_TAG", "is_gone", "process_identity"]

PROCESS_TAG = "monai_ext.process"


def process_identity() -> str:
    """``machine/boot/pid/start``: a hash of the machine, its boot, the process id and when the process began.

    The machine's part includes the process-id name space, so that containers on one host are different machines.
    """
    return f"{_machine()}/{_boot()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(identity: str) -> bool:
    """True only when the process was on this machine and certainly does not exist any more."""
    machine, _, rest = identity.partition("/")
    boot, _, process = rest.partition("/")
    pid, _, started = process.partition("/")
    if machine != _machine() or not pid.isdigit():
        return False
    return boot != _boot() or _started(int(pid)) != started


def _machine() -> str:
    parts = [platform.node(), _content("/etc/machine-id")]
    try:
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        parts.append("")
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _boot() -> str:
    return _content("/proc/sys/kernel/random/boot_id")[:8]


def _started(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty when it does not exist or is a zombie."""
    status = _content(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if status:
        return "" if status[0] == "Z" else status[19]
    if sys.platform == "linux":
        return ""
    return "unknown" if psutil.pid_exists(pid) else ""


def _content(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError:
        return ""
