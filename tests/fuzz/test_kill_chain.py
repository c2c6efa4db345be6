"""A small part of the kills of the whole chain; see :mod:`kill_chain`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_chain_killed_at_random_moments_ends_as_an_undisturbed_one() -> None:
    command = [sys.executable, str(Path(__file__).with_name("kill_chain.py")), "--kills", "6", "--seed", "3"]
    path = f"{REPOSITORY}:{REPOSITORY / 'tests'}"
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    told = json.loads(ended.stdout)
    assert (told["kills"], told["different"]) == (6, [])
