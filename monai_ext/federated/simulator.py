"""NVFlare's simulator: server and sites on this machine, with the policy that real ones need, ended together."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from monai_ext.files import write_atomically
from monai_ext.tracking.termination import TerminationWatch

__all__ = ["SITE_POLICY", "end_processes", "run_simulator"]

SITE_POLICY = {
    "class_allow_list": ["monai_ext.federated.flare.FederatedTraining", "monai_ext.federated.flare.SiteTraining"],
    "allow_log_streaming": False,
}
"""Components that jobs may name, and whether logs, which have paths in them, may be sent to the server. The same
belongs into ``local/resources.json`` of the server and the sites of a real deployment."""


def run_simulator(job: Path, workspace: Path, sites: list[str], environment: Mapping[str, str]) -> None:
    """Run a job to its end; what the simulator started ends with this process, also by Ctrl-C or SIGTERM.

    Args:
        job: its folder.
        workspace: a folder that does not exist yet, for what the simulator writes.
        sites: their names.
        environment: of all processes, beside that of this one.
    """
    local = workspace / "local"
    local.mkdir(parents=True)
    policy = json.dumps({"format_version": 2, **SITE_POLICY}, indent=2).encode()
    write_atomically(local / "resources.json", lambda file: file.write(policy))
    command = [sys.executable, "-m", "nvflare.private.fed.app.simulator.simulator", str(job), "-w", str(workspace)]
    command += ["-c", ",".join(sites), "-n", str(len(sites)), "-t", str(len(sites))]
    watch = TerminationWatch(lambda error: None)
    watch.start()
    process = subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True)
    try:
        process.wait()
    finally:
        end_processes(process.pid)
        watch.stop()


def end_processes(pid: int, *, patience: float = 20.0) -> None:
    """End a process and all that it started: SIGTERM, and after so many seconds SIGKILL; it may be gone already."""
    try:
        parent = psutil.Process(pid)
        processes = [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return
    for process in processes:
        _send(process, psutil.Process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        _send(process, psutil.Process.kill)
    psutil.wait_procs(alive, timeout=patience)


def _send(process: psutil.Process, signal: Callable[[psutil.Process], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        signal(process)
