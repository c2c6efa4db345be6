"""What a sandboxed process is given: programs and libraries to read, a few devices, an environment of its own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Surroundings", "devices", "environment", "library_folders"]

SYSTEM = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf"),
    *("/etc/ld.so.conf.d", "/etc/alternatives", "/etc/localtime", "/sys/devices/system", "/sys/module/nvidia"),
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
PROCESS_FILES = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/driver/nvidia")


@dataclass(frozen=True)
class Surroundings:
    """The folders of one run.

    Args:
        bundle: unpacked, to be read.
        data: to be read.
        output: to be written.
        temporary: to be written, thrown away afterwards.
    """

    bundle: Path
    data: Path
    output: Path
    temporary: Path


def library_folders() -> list[str]:
    """Folders of the system's and Python's libraries, without any that lies in another one."""
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).parent), _folder_of_real_python()]
    found: list[str] = []
    for path in (*SYSTEM, *python):
        if os.path.exists(path) and not any(Path(path).is_relative_to(other) for other in found):
            found.append(path)
    return found


def _folder_of_real_python() -> str:
    return str(Path(os.path.realpath(sys.executable)).parent)


def devices() -> list[str]:
    """Devices that hold nothing, and those of graphics cards."""
    cards = sorted(str(path) for path in Path("/dev").glob("nvidia*"))
    return [path for path in (*DEVICES, *cards, "/dev/kfd", "/dev/dri") if os.path.exists(path)]


def environment(temporary: str) -> dict[str, str]:
    """What Python and MONAI need; nothing of the caller's environment, in which there may be secrets."""
    wanted = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if name in os.environ}
    return wanted | {
        "HOME": temporary,
        "TMPDIR": temporary,
        "MPLCONFIGDIR": temporary,
        "USER": "bundle",
        "LOGNAME": "bundle",
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
