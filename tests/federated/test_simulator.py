"""What the simulator started ends with the command."""

import subprocess
import sys

import psutil

from monai_ext.federated.simulator import end_processes

STUBBORN = """
import signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(600)"],
    start_new_session=True)
time.sleep(600)
"""


def test_processes_that_others_started_end_too_even_when_they_ignore_sigterm():
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    (child,) = psutil.Process(process.pid).children(recursive=True)
    end_processes(process.pid, patience=0.5)
    process.wait(timeout=30)
    process.stdout.close()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_is_gone_is_no_fault():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    end_processes(process.pid)
