"""Started as a program: gives up network and files by namespaces and Landlock, then becomes the command it was given.

It is a program of its own, run by its path, so that nothing but the standard library and ``landlock`` is loaded first.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

NEW_USER, NEW_NETWORK, NEW_IPC, NEW_PROCESSES, NEW_NAME = 0x10000000, 0x40000000, 0x08000000, 0x20000000, 0x04000000
DIE_WITH_PARENT = 1
FAILED = 125
"""Exit status that says that the command was not started."""


def main() -> int:
    """Apply what the JSON on the command line says, then run its command; returns that one's exit status."""
    wanted = json.loads(sys.argv[1])
    _own_namespaces()
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) % 256
    ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    _give_up_files(wanted)
    os.chdir(wanted["folder"])
    os.execve(wanted["command"][0], wanted["command"], wanted["environment"])
    return FAILED


def _own_namespaces() -> None:
    """Namespaces without a network, in which no other process can be seen or signalled."""
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_USER | NEW_NETWORK | NEW_IPC | NEW_PROCESSES | NEW_NAME) != 0:
        raise OSError(ctypes.get_errno(), "namespaces cannot be made")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _give_up_files(wanted: dict) -> None:
    from landlock import FSAccess, Ruleset

    reading = FSAccess.READ_FILE | FSAccess.READ_DIR | FSAccess.EXECUTE
    rules = Ruleset()
    for path in wanted["readable"]:
        if os.path.exists(path):
            rules.allow(path, rules=reading if os.path.isdir(path) else FSAccess.READ_FILE | FSAccess.EXECUTE)
    for path in wanted["devices"]:
        allowed = FSAccess.READ_FILE | FSAccess.WRITE_FILE
        rules.allow(path, rules=allowed | FSAccess.READ_DIR if os.path.isdir(path) else allowed)
    for path in wanted["writable"]:
        rules.allow(path)
    rules.apply()


if __name__ == "__main__":
    try:
        status = main()
    except (OSError, ImportError) as error:
        sys.stderr.write(f"The sandbox cannot be made: {error}\n")
        status = FAILED
    sys.exit(status)
